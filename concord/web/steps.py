"""The steps of a connection test in the reader's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from concord.ports import CheckStep
from concord.web import error_text
from concord.web.i18n import N_, gettext, ngettext

_TITLES: Final[Mapping[str, str]] = {
    "dns": N_("Address"),
    "tcp": N_("Connection"),
    "tls": N_("Encryption"),
    "token": N_("Token"),
    "login": N_("Login"),
    "capabilities": N_("Abilities"),
    "folders": N_("Folders"),
}
PLANNED: Final = ("dns", "tcp", "tls", "login", "capabilities", "folders")
PLANNED_OAUTH: Final = ("dns", "tcp", "tls", "token", "login", "capabilities", "folders")
_FOLDERS_TOLD: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownStep:
    """One step on a page: translated, but for what others wrote (`cause` may hold a server's words)."""

    name: str
    title: str
    ok: bool
    lines: tuple[str, ...] = ()
    cause: str = ""
    remedy: str = ""


def shown(step: CheckStep, *, for_programs: bool = False) -> ShownStep:
    """A step as a page tells it, or the API."""
    title = gettext(_TITLES.get(step.name, step.name))
    if not step.ok:
        cause = "; ".join(gettext(str(value)) for value in step.facts.values())
        return ShownStep(
            name=step.name,
            title=title,
            ok=False,
            lines=(error_text.sentence(step.error) if step.error else gettext(step.detail),),
            cause=cause,
            remedy=(error_text.remedy_for_programs(step.error) if for_programs else error_text.remedy(step.error))
            if step.error
            else "",
        )
    tell = _TELLERS.get(step.name)
    lines = tell(step.facts) if tell and step.facts else [step.detail]
    return ShownStep(name=step.name, title=title, ok=True, lines=tuple(lines))


def title(name: str) -> str:
    """Of a step that is still to come."""
    return gettext(_TITLES[name])


def _dns(facts: Mapping[str, Any]) -> Sequence[str]:
    return [", ".join(facts["addresses"])]


def _tcp(facts: Mapping[str, Any]) -> Sequence[str]:
    return [gettext("Connected to %(address)s, port %(port)s") % facts]


def _tls(facts: Mapping[str, Any]) -> Sequence[str]:
    if not facts["version"]:
        return [gettext("None: everything, the password included, travels in clear")]
    until: datetime = facts["until"]
    days = ngettext("%(num)s day left", "%(num)s days left", facts["days"]) % {"num": facts["days"]}
    return [
        gettext("%(version)s, with a certificate to be trusted") % facts,
        gettext("Certificate for %(subject)s") % facts,
        gettext("From %(issuer)s") % facts,
        gettext("Valid until %(day)s (%(left)s)") % {"day": f"{until:%Y-%m-%d}", "left": days},
    ]


def _token(facts: Mapping[str, Any]) -> Sequence[str]:
    return [gettext("From the OAuth2 app '%(oauth_client)s', good for %(minutes)s minutes") % facts]


def _login(facts: Mapping[str, Any]) -> Sequence[str]:
    return [gettext("Logged in as %(user)s") % facts]


def _capabilities(facts: Mapping[str, Any]) -> Sequence[str]:
    lines = [", ".join(facts["offered"]) or gettext("Nothing beyond the basics")]
    if facts["missing"]:
        lines.append(gettext("Not offered: %(names)s") % {"names": ", ".join(facts["missing"])})
    return lines


def _folders(facts: Mapping[str, Any]) -> Sequence[str]:
    found: Mapping[str, int | None] = facts["folders"]
    told = [
        name if count is None else gettext("%(name)s: %(count)s messages") % {"name": name, "count": count}
        for name, count in list(found.items())[:_FOLDERS_TOLD]
    ]
    if len(found) > _FOLDERS_TOLD:
        told.append(gettext("and %(count)s more") % {"count": len(found) - _FOLDERS_TOLD})
    return told


_TELLERS: Final = {
    "dns": _dns,
    "tcp": _tcp,
    "tls": _tls,
    "token": _token,
    "login": _login,
    "capabilities": _capabilities,
    "folders": _folders,
}
