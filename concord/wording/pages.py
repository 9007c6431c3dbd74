"""What to do, by situation, for somebody before a page of the admin site."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

REMEDIES: Final[Mapping[str, str | tuple[str, ...]]] = {
    "conflict.toggle_running": "Wait until it is done, then look at the page 'Workers'",
    "conflict.worker_runs": "Stop it first, on its page",
    "consent_failed": "Sign in again at /admin/settings",
    "consent_failed.not_under_way": "Begin it again from the mailbox's page",
    "consent_failed.refused.client_disabled": "Correct the OAuth2 client at /admin/settings/oauth",
    "consent_failed.refused.client_refused": "Correct the OAuth2 client at /admin/settings/oauth",
    "consent_failed.refused.expired": "Sign in again at /admin/settings",
    "consent_failed.refused.flow": "Correct the OAuth2 client at /admin/settings/oauth",
    "consent_failed.refused.no_client": "Correct the OAuth2 client at /admin/settings/oauth",
    "consent_failed.refused.other": (
        "See the provider's words; correct the OAuth2 client at /admin/settings/oauth, or sign in again"
    ),
    "consent_failed.refused.other_tenant": (
        "Correct the tenant of the OAuth2 client at /admin/settings/oauth, or sign in with an account of that tenant"
    ),
    "consent_failed.refused.redirect": (
        "Register exactly the redirect URI that /admin/settings/oauth shows with the application"
    ),
    "consent_failed.refused.secret_expired": (
        "Make a new secret at the provider and give its value, not its id, to the OAuth2 client at "
        "/admin/settings/oauth"
    ),
    "consent_failed.refused.secret_wrong": (
        "Make a new secret at the provider and give its value, not its id, to the OAuth2 client at "
        "/admin/settings/oauth"
    ),
    "consent_failed.refused.signed_out": "Sign in again at /admin/settings",
    "consent_failed.refused.unused": "Sign in again at /admin/settings",
    "consent_failed.untrusted.tenant": (
        "Sign in with an account of that tenant, or correct the tenant at /admin/settings/oauth"
    ),
    "exists.account": "Take another name, or change that mailbox on its page",
    "exists.handler": "Take another name",
    "exists.key": "",
    "exists.rule": "Take another name",
    "exists.worker": "Change it on its page",
    "handler_missing": "Add a handler of that name at /admin/settings/handlers; its deliveries go on at once",
    "handler_refused": ("Repair the receiver or the handler's configuration, then try the delivery again on its page"),
    "handler_refused.delivery_kills": (
        "See the workers' log for what killed them, then try the delivery again on its page"
    ),
    "handler_refused.step_kills": "See the workers' log for what killed them, then try the run again on its page",
    "handler_refused.stream": (
        "Check that the key is a stream and that Concord's Redis user may write it, then try the "
        "delivery again on its page"
    ),
    "handler_refused.too_big": (
        "Raise the handler's limit (webhook.max_body_bytes, or the option max_bytes), then try the "
        "delivery again on its page"
    ),
    "key_not_shared": "",
    "mailbox_denied": (
        "Check user and password (many providers want an app password), then give the right one on the "
        "mailbox's page; until then Concord tries rarely, so that nobody is locked out"
    ),
    "mailbox_denied.login.aliyun": (
        "Aliyun wants a client security password (三方客户端安全密码), made in its settings under Account; give "
        "it on the mailbox's page"
    ),
    "mailbox_denied.login.fastmail": ("Fastmail wants an app password with IMAP access; give it on the mailbox's page"),
    "mailbox_denied.login.gmail": (
        "Gmail wants an app password, made under Google Account > Security > 2-Step Verification; give "
        "it on the mailbox's page"
    ),
    "mailbox_denied.login.icloud": (
        "iCloud wants an app-specific password, made under Apple Account > Sign-In and Security; give it"
        " on the mailbox's page"
    ),
    "mailbox_denied.login.microsoft": (
        "Microsoft 365 takes no passwords over IMAP any more, only OAuth2; sign in on the mailbox's page"
    ),
    "mailbox_denied.login.netease": (
        "NetEase wants an authorisation code (授权码), made in its settings under POP3/SMTP/IMAP; give it "
        "on the mailbox's page"
    ),
    "mailbox_denied.login.qq": (
        "QQ Mail wants an authorisation code (授权码), made in its settings under Account; give it on the "
        "mailbox's page"
    ),
    "mailbox_denied.login.yahoo": (
        "Yahoo wants an app password, made under Account Security; give it on the mailbox's page"
    ),
    "mailbox_denied.no_oauth": "Give the mailbox a password on its page",
    "mailbox_denied.token": (
        "Sign in as the mailbox's own user at /admin/settings; check that IMAP is switched on for the mailbox"
    ),
    "mailbox_denied.token.microsoft": (
        "Sign in as the mailbox's own user, or as one with full access to it, at /admin/settings; check "
        "that IMAP is switched on for the mailbox, and for app-only access that the application may open"
        " it"
    ),
    "mailbox_denied.token.scope": (
        "Give the OAuth2 client the provider's scope for IMAP at /admin/settings/oauth, then sign in again"
    ),
    "mailbox_folder": "'Test' on the mailbox's page lists the folders there are; correct the names there",
    "mailbox_tls": (
        "If the server uses its own certificate authority, give its file as the mailbox's CA file; "
        "otherwise the certificate is expired, for another name, or not to be trusted"
    ),
    "mailbox_tls.ca_file": "Choose another certificate authority on the mailbox's page, or paste its certificate there",
    "mailbox_tls.handshake.plain": ("Try STARTTLS (port 143), or the port the provider names for IMAP over TLS (993)"),
    "mailbox_tls.handshake.unknown": "Give the authority's file as the mailbox's CA file",
    "mailbox_tls.tls_required": "Set the mailbox to STARTTLS, or to implicit TLS with port 993",
    "message_ends_session": (
        "Try to open it in another mail program; a retry on the message's page asks the server again"
    ),
    "message_unreadable": (
        "Try to open it in another mail program; a retry on the message's page asks the server again"
    ),
    "message_unreadable.too_large": "Raise poll.max_message_bytes, then try the message again on its page",
    "not_consuming": "See the daemon's log on its page; check that Redis runs and that redis.url is right",
    "not_found.account": ("Did you mean '%(near)s'?", "See them at /admin/settings"),
    "not_found.audit_row": "See them at /admin/audit",
    "not_found.delivery": "See them at /admin/deliveries",
    "not_found.event": "See them at /admin/messages",
    "not_found.handler": ("Did you mean '%(near)s'?", "See them at /admin/settings/handlers"),
    "not_found.message": "See them at /admin/messages",
    "not_found.oauth_client": "See them at /admin/settings/oauth",
    "not_found.rule": ("Did you mean '%(near)s'?", "See them at /admin/settings/rules"),
    "not_found.token": "See them at /admin/tokens",
    "not_found.user": "See them at /admin/users",
    "not_found.worker": ("Did you mean '%(near)s'?", "See them at /admin/workers"),
    "not_found.workflow": ("Did you mean '%(near)s'?", "See them at /admin/settings/workflows"),
    "not_found.workflow_run": "See them at /admin/workflows",
    "not_synced": "Repair that; the schedule follows automatically within minutes",
    "provider_down.no_https": "Correct the issuer of the OAuth2 client at /admin/settings/oauth",
    "provider_down.no_issuer": (
        "Correct the issuer of the OAuth2 client at /admin/settings/oauth; it is the provider's own name"
    ),
    "provider_down.other_issuer": (
        "Correct the issuer of the OAuth2 client at /admin/settings/oauth; it is the provider's own name"
    ),
    "result_refused": (
        "This is a defect of Concord's: report it with the message's trace, then try the message again on its page"
    ),
    "mailbox_secret.moved": (
        "The database was changed without Concord: find out by whom, check the mailbox's server, then enter the "
        "password again on the mailbox's page"
    ),
    "mailbox_secret.token_moved": (
        "The database was changed without Concord: find out by whom, check the mailbox's server, then sign in again on "
        "the mailbox's page"
    ),
    "secret_moved": (
        "The database was changed without Concord: find out by whom, then enter the secret again on its page"
    ),
    "secret_key.password_dropped": "Give it again on the mailbox's page, then enable the mailbox",
    "secret_key.sign_in_dropped": "Sign in again at /admin/settings",
    "settings.worker_no_json": "Correct the settings on the worker's page",
    "settings.worker_unusable": ("Did you mean '%(near)s'?", "Correct the settings on the worker's page"),
    "sign_in_refused": "Try again; an admin can give a new password on the page 'Users'",
    "token_refused": "Sign in again at /admin/settings",
    "token_refused.no_client": "Add it at /admin/settings/oauth, or give the mailbox another one",
    "token_refused.no_token.client_disabled": "Correct the OAuth2 client at /admin/settings/oauth",
    "token_refused.no_token.client_refused": "Correct the OAuth2 client at /admin/settings/oauth",
    "token_refused.no_token.expired": "Sign in again at /admin/settings",
    "token_refused.no_token.flow": "Correct the OAuth2 client at /admin/settings/oauth",
    "token_refused.no_token.no_client": "Correct the OAuth2 client at /admin/settings/oauth",
    "token_refused.no_token.other": (
        "See the provider's words; correct the OAuth2 client at /admin/settings/oauth, or sign in again"
    ),
    "token_refused.no_token.other_tenant": (
        "Correct the tenant of the OAuth2 client at /admin/settings/oauth, or sign in with an account of that tenant"
    ),
    "token_refused.no_token.redirect": (
        "Register exactly the redirect URI that /admin/settings/oauth shows with the application"
    ),
    "token_refused.no_token.secret_expired": (
        "Make a new secret at the provider and give its value, not its id, to the OAuth2 client at "
        "/admin/settings/oauth"
    ),
    "token_refused.no_token.secret_wrong": (
        "Make a new secret at the provider and give its value, not its id, to the OAuth2 client at "
        "/admin/settings/oauth"
    ),
    "token_refused.no_token.signed_out": "Sign in again at /admin/settings",
    "token_refused.no_token.unused": "Sign in again at /admin/settings",
    "unexpected.command": "",
    "usage.account_oauth_client": ("Name the client whose secret opens the mailbox; /admin/settings/oauth has them"),
    "usage.audit_mark": "Give both as the page shows them: 812:9f86d081…",
    "usage.command": "",
    "usage.entry_no_kind": "Choose its kind",
    "usage.event_id": "",
    "usage.event_id_form": "Copy it from the event's page",
    "usage.handler_no_name": "",
    "usage.handler_unknown": ("Did you mean '%(near)s'?", "See them at /admin/settings/handlers"),
    "usage.list_too_long": "Send it in parts",
    "usage.list_too_many": "Send it in parts",
    "usage.mailbox_both": "",
    "usage.mailbox_question": (
        "Set 'mailbox' to 'same' if the mailbox moved with its mail, to 'another' if it is a different one"
    ),
    "usage.nothing_to_change": "",
    "usage.oauth_client_missing": "Say which one: /admin/settings/oauth has them",
    "usage.option_unusable": "",
    "usage.options_no_table": "Write them in braces",
    "usage.rule_no_name": "",
    "usage.rule_skips_all": "Give it a condition; if all mail is meant, write * for the mailbox",
    "usage.rule_value": "",
    "usage.secret_missing": "",
    "usage.step_no_name": "",
    "usage.webhook_secret": "Let Concord make one",
    "usage.workflow_no_name": "",
    "usage.workflow_no_steps": "Add one below",
    "worker_lost": "See the workers' log for what killed them; a retry on the message's page tries again",
}
