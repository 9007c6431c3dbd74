"""What a provider's refusal means, and what to do about it.

Codes: RFC 6749 sections 4.1.2.1 and 5.2, OpenID Connect Core 3.1.2.6, Google's "Authorization errors", and Microsoft's
"Microsoft Entra authentication and authorization error codes" (AADSTS…).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """In words for an operator. A `passing` one may be gone at the next try."""

    cause: str
    remedy: str
    passing: bool = False


_AGAIN: Final = "Sign in again at /admin/settings, or with 'concord oauth login NAME'"
_CLIENT: Final = "Correct the OAuth2 client at /admin/settings/oauth"
_RENEW: Final = (
    "Make a new secret at the provider and give its value, not its id, to the OAuth2 client at /admin/settings/oauth"
)
_CONSENT: Final = "Have an administrator of the organisation consent to the application, then sign in again"
_TENANT: Final = (
    "Correct the tenant of the OAuth2 client at /admin/settings/oauth, or sign in with an account of that tenant"
)
_REDIRECT: Final = "Register exactly the redirect URI that /admin/settings/oauth shows with the application"

_EXPIRED: Final = Refusal(cause="the sign-in has expired or was taken back", remedy=_AGAIN)
_UNUSED: Final = Refusal(cause="the sign-in was not used for so long that it has expired", remedy=_AGAIN)
_SECRET_WRONG: Final = Refusal(cause="the OAuth2 client's secret is wrong", remedy=_RENEW)
_SECRET_EXPIRED: Final = Refusal(cause="the OAuth2 client's secret has expired", remedy=_RENEW)
_DECLINED: Final = Refusal(
    cause="the access to the mailbox was declined", remedy="Sign in again and allow the access to mail"
)
_UNCONSENTED: Final = Refusal(cause="nobody has consented to this access yet", remedy=_CONSENT)
_ELSEWHERE: Final = Refusal(cause="the account is not in the tenant of the OAuth2 client", remedy=_TENANT)
_UNKNOWN_CLIENT: Final = Refusal(cause="the provider knows no application with this client id", remedy=_CLIENT)
_PROOF: Final = Refusal(
    cause="the organisation asks for a further proof of who signs in, or allows no sign-in from here",
    remedy="Sign in again; if that does not help, have an administrator except Concord from the conditional access",
)
_SIGNED_OUT: Final = Refusal(cause="the password was changed, or all sign-ins of the account were ended", remedy=_AGAIN)
_PLACE: Final = Refusal(cause="the application does not have Concord's redirect URI", remedy=_REDIRECT)
_DISABLED: Final = Refusal(
    cause="the account is disabled at the provider", remedy="Enable it there, then sign in again"
)
_SCOPE: Final = Refusal(
    cause="the application may not have the permissions it asks for",
    remedy="Give the application the permission for IMAP at the provider, then sign in again",
)
_POLICY: Final = Refusal(
    cause="the organisation does not allow this application",
    remedy="Have an administrator of the organisation allow it, then sign in again",
)
_FLOW: Final = Refusal(cause="the application may not sign in this way", remedy=_CLIENT)

_MICROSOFT: Final[dict[str, Refusal]] = {
    **dict.fromkeys(("65004",), _DECLINED),
    **dict.fromkeys(("65001", "65002", "90094", "90095", "90008"), _UNCONSENTED),
    **dict.fromkeys(("50020", "50034", "50128", "50059", "90002", "900023", "50194", "500011"), _ELSEWHERE),
    **dict.fromkeys(("700016", "700054", "7000112"), _UNKNOWN_CLIENT),
    **dict.fromkeys(("7000215", "7000216", "7000218"), _SECRET_WRONG),
    **dict.fromkeys(("7000222",), _SECRET_EXPIRED),
    **dict.fromkeys(("700082", "70008", "700084", "70043", "70044"), _UNUSED),
    **dict.fromkeys(("50173", "50133", "50132"), _SIGNED_OUT),
    **dict.fromkeys(("50076", "50079", "50158", "53000", "53001", "53002", "53003", "50105"), _PROOF),
    **dict.fromkeys(("50057",), _DISABLED),
    **dict.fromkeys(("50011", "500112"), _PLACE),
    **dict.fromkeys(("70011", "28003", "650053", "650057"), _SCOPE),
    **dict.fromkeys(("90033", "50196"), Refusal(cause="the provider is busy", remedy="", passing=True)),
}
_CODES: Final[dict[str, Refusal]] = {
    "access_denied": _DECLINED,
    "consent_required": _UNCONSENTED,
    "interaction_required": _PROOF,
    "login_required": _EXPIRED,
    "account_selection_required": _EXPIRED,
    "invalid_grant": _EXPIRED,
    "invalid_client": Refusal(cause="the provider does not take the OAuth2 client's id and secret", remedy=_CLIENT),
    "unauthorized_client": _FLOW,
    "unsupported_grant_type": _FLOW,
    "invalid_scope": _SCOPE,
    "redirect_uri_mismatch": _PLACE,
    "admin_policy_enforced": _POLICY,
    "org_internal": _POLICY,
    "disallowed_useragent": _POLICY,
    "deleted_client": _UNKNOWN_CLIENT,
    "disabled_client": Refusal(cause="the application is disabled at the provider", remedy=_CLIENT),
    "temporarily_unavailable": Refusal(cause="the provider is busy", remedy="", passing=True),
    "server_error": Refusal(cause="the provider has trouble of its own", remedy="", passing=True),
    "slow_down": Refusal(cause="the provider is busy", remedy="", passing=True),
}
_UNKNOWN: Final = Refusal(
    cause="the provider refused for a reason of its own",
    remedy="See the provider's words; correct the OAuth2 client at /admin/settings/oauth, or sign in again",
)
_NUMBER: Final = re.compile(r"AADSTS(\d+)")
# A provider's words are a stranger's: one line, not endlessly long.
LONGEST: Final = 300


def refusal_of(code: str, description: str = "") -> Refusal:
    """The error code and description of an answer (RFC 6749); Microsoft's number in it says more than the code."""
    found = _NUMBER.search(description)
    if found and (known := _MICROSOFT.get(found[1])):
        return known
    return _CODES.get(code, _UNKNOWN)


def words(code: str, description: str = "", *, hide: tuple[str, ...] = ()) -> str:
    """What the provider said, fit to be shown: its first line, without what is to be hidden."""
    text = f"{code}: {description}" if description else code
    for secret in filter(None, hide):
        text = text.replace(secret, "[hidden]")
    line = text.strip().splitlines()[0] if text.strip() else ""
    return "".join(letter if letter.isprintable() else " " for letter in line)[:LONGEST].strip()
