"""What a provider's refusal means.

Codes: RFC 6749 sections 4.1.2.1 and 5.2, OpenID Connect Core 3.1.2.6, Google's "Authorization errors", and Microsoft's
"Microsoft Entra authentication and authorization error codes" (AADSTS…).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Its word in situations, and the cause for an operator. A `passing` one may be gone at the next try."""

    word: str
    cause: str
    passing: bool = False


_EXPIRED: Final = Refusal(word="expired", cause="the sign-in has expired or was taken back")
_UNUSED: Final = Refusal(word="unused", cause="the sign-in was not used for so long that it has expired")
_SECRET_WRONG: Final = Refusal(word="secret_wrong", cause="the OAuth2 client's secret is wrong")
_SECRET_EXPIRED: Final = Refusal(word="secret_expired", cause="the OAuth2 client's secret has expired")
_DECLINED: Final = Refusal(word="declined", cause="the access to the mailbox was declined")
_UNCONSENTED: Final = Refusal(word="unconsented", cause="nobody has consented to this access yet")
_ELSEWHERE: Final = Refusal(word="other_tenant", cause="the account is not in the tenant of the OAuth2 client")
_UNKNOWN_CLIENT: Final = Refusal(word="no_client", cause="the provider knows no application with this client id")
_PROOF: Final = Refusal(
    word="proof",
    cause="the organisation asks for a further proof of who signs in, or allows no sign-in from here",
)
_SIGNED_OUT: Final = Refusal(
    word="signed_out", cause="the password was changed, or all sign-ins of the account were ended"
)
_PLACE: Final = Refusal(word="redirect", cause="the application does not have Concord's redirect URI")
_DISABLED: Final = Refusal(word="disabled", cause="the account is disabled at the provider")
_SCOPE: Final = Refusal(word="scope", cause="the application may not have the permissions it asks for")
_POLICY: Final = Refusal(word="policy", cause="the organisation does not allow this application")
_FLOW: Final = Refusal(word="flow", cause="the application may not sign in this way")
_BUSY: Final = Refusal(word="busy", cause="the provider is busy", passing=True)

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
    **dict.fromkeys(("90033", "50196"), _BUSY),
}
_CODES: Final[dict[str, Refusal]] = {
    "access_denied": _DECLINED,
    "consent_required": _UNCONSENTED,
    "interaction_required": _PROOF,
    "login_required": _EXPIRED,
    "account_selection_required": _EXPIRED,
    "invalid_grant": _EXPIRED,
    "invalid_client": Refusal(
        word="client_refused", cause="the provider does not take the OAuth2 client's id and secret"
    ),
    "unauthorized_client": _FLOW,
    "unsupported_grant_type": _FLOW,
    "invalid_scope": _SCOPE,
    "redirect_uri_mismatch": _PLACE,
    "admin_policy_enforced": _POLICY,
    "org_internal": _POLICY,
    "disallowed_useragent": _POLICY,
    "deleted_client": _UNKNOWN_CLIENT,
    "disabled_client": Refusal(word="client_disabled", cause="the application is disabled at the provider"),
    "temporarily_unavailable": _BUSY,
    "server_error": Refusal(word="trouble", cause="the provider has trouble of its own", passing=True),
    "slow_down": _BUSY,
}
_UNKNOWN: Final = Refusal(word="other", cause="the provider refused for a reason of its own")
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
