"""What to do, by situation, for somebody at a shell: remedies that name a command."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

REMEDIES: Final[Mapping[str, str | tuple[str, ...]]] = {
    "conflict.toggle_running": "Wait until it is done, then see 'concord service status'",
    "conflict.worker_runs": "Stop it first: concord service stop --only worker@%(name)s",
    "consent_failed": "Sign in again with 'concord oauth login NAME'",
    "consent_failed.not_under_way": "Begin it again with 'concord oauth login NAME'",
    "consent_failed.refused.client_disabled": (
        "Correct the OAuth2 client with 'concord oauth client add NAME --replace'"
    ),
    "consent_failed.refused.client_refused": (
        "Correct the OAuth2 client with 'concord oauth client add NAME --replace'"
    ),
    "consent_failed.refused.expired": "Sign in again with 'concord oauth login NAME'",
    "consent_failed.refused.flow": "Correct the OAuth2 client with 'concord oauth client add NAME --replace'",
    "consent_failed.refused.no_client": ("Correct the OAuth2 client with 'concord oauth client add NAME --replace'"),
    "consent_failed.refused.other": (
        "See the provider's words; correct the OAuth2 client with 'concord oauth client add NAME "
        "--replace', or sign in again"
    ),
    "consent_failed.refused.other_tenant": (
        "Correct the tenant of the OAuth2 client with 'concord oauth client add NAME --replace', or sign"
        " in with an account of that tenant"
    ),
    "consent_failed.refused.redirect": (
        "Register exactly the redirect URI that 'concord oauth client list' shows with the application"
    ),
    "consent_failed.refused.secret_expired": (
        "Make a new secret at the provider and give its value, not its id, to the OAuth2 client with "
        "'concord oauth client add NAME --replace'"
    ),
    "consent_failed.refused.secret_wrong": (
        "Make a new secret at the provider and give its value, not its id, to the OAuth2 client with "
        "'concord oauth client add NAME --replace'"
    ),
    "consent_failed.refused.signed_out": "Sign in again with 'concord oauth login NAME'",
    "consent_failed.refused.unused": "Sign in again with 'concord oauth login NAME'",
    "consent_failed.untrusted.tenant": (
        "Sign in with an account of that tenant, or correct the tenant with 'concord oauth client add NAME --replace'"
    ),
    "exists.account": "Take another name, or change that one with 'concord account edit %(account)s'",
    "exists.handler": ("Take another name, or change the handler that is there: with --replace on the command line"),
    "exists.key": "Keep it: without it no stored password opens; 'concord secrets rotate' makes a new one",
    "exists.rule": "Take another name, or change the rule that is there: with --replace on the command line",
    "exists.worker": "Change it with 'concord worker set %(name)s …'",
    "handler_missing": (
        "Add a handler of that name with 'concord apply' or 'concord handler add'; its deliveries go on at once"
    ),
    "handler_refused": "Repair the receiver or the handler's configuration, then 'concord delivery retry ID'",
    "handler_refused.delivery_kills": ("See the workers' log for what killed them, then 'concord delivery retry ID'"),
    "handler_refused.step_kills": "See the workers' log for what killed them, then 'concord workflow retry ID'",
    "handler_refused.stream": (
        "Check that the key is a stream and that Concord's Redis user may write it, then 'concord delivery retry ID'"
    ),
    "handler_refused.too_big": (
        "Raise the handler's limit (webhook.max_body_bytes, or the option max_bytes), then 'concord delivery retry ID'"
    ),
    "key_not_shared": (
        "See their log and 'concord secrets status'; once they can, or are stopped, run 'concord secrets"
        " rotate' again: it goes on where it stopped"
    ),
    "mailbox_denied": (
        "Check user and password (many providers want an app password), then give the right one with "
        "'concord account edit NAME --password-stdin'; until then Concord tries rarely, so that nobody "
        "is locked out"
    ),
    "mailbox_denied.login.aliyun": (
        "Aliyun wants a client security password (三方客户端安全密码), made in its settings under Account; then: "
        "concord account edit %(account)s --password-stdin"
    ),
    "mailbox_denied.login.fastmail": (
        "Fastmail wants an app password with IMAP access; then: concord account edit %(account)s --password-stdin"
    ),
    "mailbox_denied.login.gmail": (
        "Gmail wants an app password, made under Google Account > Security > 2-Step Verification; then: "
        "concord account edit %(account)s --password-stdin"
    ),
    "mailbox_denied.login.icloud": (
        "iCloud wants an app-specific password, made under Apple Account > Sign-In and Security; then: "
        "concord account edit %(account)s --password-stdin"
    ),
    "mailbox_denied.login.microsoft": (
        "Microsoft 365 takes no passwords over IMAP any more, only OAuth2; sign in with 'concord oauth "
        "login %(account)s'"
    ),
    "mailbox_denied.login.netease": (
        "NetEase wants an authorisation code (授权码), made in its settings under POP3/SMTP/IMAP; then: "
        "concord account edit %(account)s --password-stdin"
    ),
    "mailbox_denied.login.qq": (
        "QQ Mail wants an authorisation code (授权码), made in its settings under Account; then: concord "
        "account edit %(account)s --password-stdin"
    ),
    "mailbox_denied.login.yahoo": (
        "Yahoo wants an app password, made under Account Security; then: concord account edit "
        "%(account)s --password-stdin"
    ),
    "mailbox_denied.no_oauth": (
        "Give the account a password: concord account edit %(account)s --auth password --password-stdin"
    ),
    "mailbox_denied.token": (
        "Sign in as the mailbox's own user with 'concord oauth login NAME'; check that IMAP is switched "
        "on for the mailbox"
    ),
    "mailbox_denied.token.microsoft": (
        "Sign in as the mailbox's own user, or as one with full access to it, with 'concord oauth login "
        "NAME'; check that IMAP is switched on for the mailbox, and for app-only access that the "
        "application may open it"
    ),
    "mailbox_denied.token.scope": (
        "Give the OAuth2 client the provider's scope for IMAP with 'concord oauth client add NAME "
        "--replace', then sign in again"
    ),
    "mailbox_folder": (
        "'concord account test NAME' lists the folders there are; correct the names with 'concord "
        "account edit NAME --folder …'"
    ),
    "mailbox_tls": (
        "If the server uses its own certificate authority, give its file as the account's CA file (--ca-"
        "file); otherwise the certificate is expired, for another name, or not to be trusted"
    ),
    "mailbox_tls.ca_file": "Give a readable PEM file of CA certificates with --ca-file",
    "mailbox_tls.handshake.plain": (
        "Try STARTTLS (--tls starttls, port 143), or the port the provider names for IMAP over TLS (993)"
    ),
    "mailbox_tls.handshake.unknown": "Give the authority's file as the account's CA file (--ca-file)",
    "mailbox_tls.tls_required": "Set the account to STARTTLS (--tls starttls), or to implicit TLS with port 993",
    "message_ends_session": (
        "Try to open it in another mail program; 'concord message retry ID' asks the server again"
    ),
    "message_unreadable": ("Try to open it in another mail program; 'concord message retry ID' asks the server again"),
    "message_unreadable.too_large": "Raise poll.max_message_bytes, then 'concord message retry ID'",
    "not_consuming": "See 'concord service logs'; check that Redis runs and that redis.url is right",
    "not_found.account": ("Did you mean '%(near)s'?", "See them with 'concord account list'"),
    "not_found.audit_row": "See them at /api/v1/audit",
    "not_found.delivery": "See them with 'concord delivery list'",
    "not_found.event": "See them with 'concord event list'",
    "not_found.handler": ("Did you mean '%(near)s'?", "See them with 'concord handler list'"),
    "not_found.message": "See them with 'concord message list'",
    "not_found.oauth_client": "See them with 'concord oauth client list'",
    "not_found.rule": ("Did you mean '%(near)s'?", "See them with 'concord rule list'"),
    "not_found.token": "See them with 'concord token list'",
    "not_found.user": "See them with 'concord user list'",
    "not_found.worker": ("Did you mean '%(near)s'?", "Add it: concord worker add %(name)s --type mail"),
    "not_found.workflow": ("Did you mean '%(near)s'?", "See them with 'concord workflow list'"),
    "not_found.workflow_run": "See them with 'concord workflow list'",
    "not_synced": (
        "Repair that; the schedule follows automatically within minutes, or at once with 'concord sync-email-tasks'"
    ),
    "provider_down.no_https": (
        "Correct the issuer of the OAuth2 client with 'concord oauth client add NAME --replace'"
    ),
    "provider_down.no_issuer": (
        "Correct the issuer of the OAuth2 client with 'concord oauth client add NAME --replace'; it is "
        "the provider's own name"
    ),
    "provider_down.other_issuer": (
        "Correct the issuer of the OAuth2 client with 'concord oauth client add NAME --replace'; it is "
        "the provider's own name"
    ),
    "result_refused": (
        "This is a defect of Concord's: report it with the message's trace, then 'concord message retry ID'"
    ),
    "mailbox_secret.moved": (
        "The database was changed without Concord: find out by whom, check the mailbox's server, then enter the "
        "password again: concord account edit %(account)s --password-stdin"
    ),
    "mailbox_secret.token_moved": (
        "The database was changed without Concord: find out by whom, check the mailbox's server, then sign in again: "
        "concord oauth login %(account)s"
    ),
    "secret_moved": (
        "The database was changed without Concord: find out by whom, then enter the secret again; 'concord secrets "
        "check' names each such secret"
    ),
    "secret_key.password_dropped": (
        "Give it again: concord account edit %(account)s --password-stdin, then concord account enable %(account)s"
    ),
    "secret_key.sign_in_dropped": "Sign in again with 'concord oauth login NAME'",
    "settings.worker_no_json": "Correct the file; 'concord worker schema' says what may stand in it",
    "settings.worker_unusable": (
        "Did you mean '%(near)s'?",
        "Correct the file; 'concord worker schema' says what may stand in it",
    ),
    "sign_in_refused": "Try again; an admin can give a new password with 'concord user password NAME'",
    "token_refused": "Sign in again with 'concord oauth login NAME'",
    "token_refused.no_client": "Add it with 'concord oauth client add', or give the account another one",
    "token_refused.no_token.client_disabled": (
        "Correct the OAuth2 client with 'concord oauth client add NAME --replace'"
    ),
    "token_refused.no_token.client_refused": (
        "Correct the OAuth2 client with 'concord oauth client add NAME --replace'"
    ),
    "token_refused.no_token.expired": "Sign in again with 'concord oauth login NAME'",
    "token_refused.no_token.flow": "Correct the OAuth2 client with 'concord oauth client add NAME --replace'",
    "token_refused.no_token.no_client": ("Correct the OAuth2 client with 'concord oauth client add NAME --replace'"),
    "token_refused.no_token.other": (
        "See the provider's words; correct the OAuth2 client with 'concord oauth client add NAME "
        "--replace', or sign in again"
    ),
    "token_refused.no_token.other_tenant": (
        "Correct the tenant of the OAuth2 client with 'concord oauth client add NAME --replace', or sign"
        " in with an account of that tenant"
    ),
    "token_refused.no_token.redirect": (
        "Register exactly the redirect URI that 'concord oauth client list' shows with the application"
    ),
    "token_refused.no_token.secret_expired": (
        "Make a new secret at the provider and give its value, not its id, to the OAuth2 client with "
        "'concord oauth client add NAME --replace'"
    ),
    "token_refused.no_token.secret_wrong": (
        "Make a new secret at the provider and give its value, not its id, to the OAuth2 client with "
        "'concord oauth client add NAME --replace'"
    ),
    "token_refused.no_token.signed_out": "Sign in again with 'concord oauth login NAME'",
    "token_refused.no_token.unused": "Sign in again with 'concord oauth login NAME'",
    "unexpected.command": ("Run the same command as 'concord --debug …' to see where, and report it with that output"),
    "usage.account_oauth_client": (
        "Name the client whose secret opens the mailbox; 'concord oauth client list' has them"
    ),
    "usage.audit_mark": "Give both as 'concord audit verify' shows them: 812:9f86d081…",
    "usage.command": "See '%(command)s --help'",
    "usage.entry_no_kind": 'Say its kind, as in kind = "webhook"',
    "usage.event_id": "It looks like 0b1c7a52-0d8e-5a4b-9d0b-6f2a3f1d9f10; see 'concord event list'",
    "usage.event_id_form": "See 'concord event list'",
    "usage.handler_no_name": "Give it one with name = …",
    "usage.handler_unknown": ("Did you mean '%(near)s'?", "See them with 'concord handler list'"),
    "usage.list_too_long": "Send it in parts, or use 'concord account import' at the command line",
    "usage.list_too_many": "Send it in parts, or use 'concord account import' at the command line",
    "usage.mailbox_both": (
        "Say --same-mailbox where the mailbox moved with its mail, --another-mailbox where it is a different one"
    ),
    "usage.mailbox_question": (
        "Set 'mailbox' to 'same' (--same-mailbox) if the mailbox moved with its mail, to 'another' "
        "(--another-mailbox) if it is a different one"
    ),
    "usage.nothing_to_change": (
        "See 'concord account edit --help'; 'concord account show %(account)s' tells how it is"
    ),
    "usage.oauth_client_missing": "Say which one: 'concord oauth client list' has them",
    "usage.option_unusable": "Correct the option",
    "usage.options_no_table": 'Write them as options = { url = "…" }',
    "usage.rule_no_name": "Give it one with name = …",
    "usage.rule_skips_all": 'Give it a condition; if all mail is meant, say match.account = "*"',
    "usage.rule_value": "Correct it where the rule is written",
    "usage.secret_missing": "Pipe it in: … --%(noun)s-stdin < FILE; or run this at a terminal",
    "usage.step_no_name": "Give it one with name = …",
    "usage.webhook_secret": "Make one with: echo whsec_$(head -c 32 /dev/urandom | base64)",
    "usage.workflow_no_name": "Give it one with name = …",
    "usage.workflow_no_steps": ('Give it some: steps = [{ name = "…", kind = "webhook", options = { url = "…" } }]'),
    "worker_lost": "See the workers' log for what killed them; 'concord message retry ID' tries again",
}
