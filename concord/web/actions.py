"""Words for what the audit knows by code: what was done, and by which way it was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from concord.web.i18n import N_, gettext

_ACTIONS: Final[Mapping[str, str]] = {
    "account.add": N_("mailbox added"),
    "account.edit": N_("mailbox changed"),
    "account.enable": N_("mailbox switched on"),
    "account.disable": N_("mailbox switched off"),
    "account.remove": N_("mailbox removed"),
    "account.test": N_("connection tested"),
    "account.poll": N_("mailbox polled"),
    "rule.order": N_("rules put in order"),
    "rule.rename": N_("rule renamed"),
    "handler.secret": N_("handler's secret changed"),
    "rule.add": N_("rule added"),
    "rule.edit": N_("rule changed"),
    "rule.enable": N_("rule switched on"),
    "rule.disable": N_("rule switched off"),
    "rule.remove": N_("rule removed"),
    "handler.add": N_("handler added"),
    "handler.edit": N_("handler changed"),
    "handler.enable": N_("handler switched on"),
    "handler.disable": N_("handler switched off"),
    "handler.remove": N_("handler removed"),
    "handler.test": N_("handler tested"),
    "workflow.add": N_("workflow added"),
    "workflow.edit": N_("workflow changed"),
    "workflow.enable": N_("workflow switched on"),
    "workflow.disable": N_("workflow switched off"),
    "workflow.remove": N_("workflow removed"),
    "run.retry": N_("runs tried again"),
    "message.retry": N_("messages tried again"),
    "message.replay": N_("messages replayed"),
    "message.read": N_("mail read"),
    "attachment.read": N_("attachment read"),
    "event.read": N_("event read"),
    "delivery.retry": N_("deliveries tried again"),
    "schedule.sync": N_("schedule synced"),
    "service.start": N_("daemons started"),
    "service.stop": N_("daemons stopped"),
    "service.restart": N_("daemons restarted"),
    "worker.add": N_("worker added"),
    "worker.edit": N_("worker changed"),
    "worker.remove": N_("worker removed"),
    "oauth_client.add": N_("OAuth2 app added"),
    "oauth_client.edit": N_("OAuth2 app changed"),
    "oauth_client.remove": N_("OAuth2 app removed"),
    "oauth.begin": N_("sign-in at a provider begun"),
    "oauth.sign_in": N_("signed in at a provider"),
    "oauth.app_only": N_("app-only sign-in"),
    "oauth.refused": N_("provider refused the sign-in"),
    "user.add": N_("user added"),
    "user.change": N_("user changed"),
    "user.password": N_("password changed"),
    "user.remove": N_("user removed"),
    "user.sign_in": N_("signed in"),
    "user.sign_out": N_("signed out"),
    "token.create": N_("token created"),
    "token.revoke": N_("token revoked"),
    "archive.adopt": N_("archive adopted"),
    "secrets.rotate": N_("key changed"),
    "secrets.forget": N_("closed secrets dropped"),
    "secrets.protect_redis": N_("Redis given a password"),
    "secrets.refused": N_("moved secret refused"),
    "audit.export": N_("audit exported"),
    "db.upgrade": N_("database upgraded"),
}
# In the order of the menu.
NOUNS: Final[Mapping[str, str]] = {
    "service": N_("Daemons"),
    "worker": N_("Workers"),
    "message": N_("Messages"),
    "attachment": N_("Attachments"),
    "event": N_("Events"),
    "delivery": N_("Deliveries"),
    "run": N_("Workflow runs"),
    "account": N_("Mailboxes"),
    "schedule": N_("Schedule"),
    "rule": N_("Rules"),
    "handler": N_("Handlers"),
    "workflow": N_("Workflows"),
    "oauth": N_("OAuth2 sign-ins"),
    "oauth_client": N_("OAuth2 apps"),
    "user": N_("Users"),
    "token": N_("API tokens"),
    "archive": N_("Archive"),
    "secrets": N_("Secrets"),
    "audit": N_("Audit"),
    "db": N_("Database"),
}
WAYS: Final[Mapping[str, str]] = {
    "cli": N_("command line"),
    "admin": N_("pages"),
    "api": N_("API"),
    "daemon": N_("Concord itself"),
}


def action(code: str) -> str:
    """What was done, in the reader's words; the code itself where there are none."""
    return gettext(_ACTIONS[code]) if code in _ACTIONS else code


def way(code: str) -> str:
    """By which way."""
    return gettext(WAYS[code]) if code in WAYS else code
