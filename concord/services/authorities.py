"""Certificate authorities of mail servers: pages and the API choose them by name from a folder of root's.

A path that somebody else names would tell which files there are, and have a mailbox's password sent to a server that
proves itself with a certificate of his own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from concord.errors import Mistake, UsageError, nearest
from concord.model.account import Account

if TYPE_CHECKING:
    from concord.bootstrap import Concord

_SUFFIX: Final = ".pem"


def names(parts: Concord) -> list[str]:
    """Those of the folder, by the names of their files."""
    return sorted(_files(parts))


def name_of(parts: Concord, account: Account) -> str | None:
    """What the account's authority is called, if it lies in the folder."""
    return next((name for name, file in _files(parts).items() if file == account.ca_file), None)


def resolve(
    parts: Concord, said: Mapping[str, Any], base: Account | None = None
) -> tuple[dict[str, Any], list[Mistake]]:
    """Return the written form with the file of the authority that it names, and what must not be said from afar.

    A path is refused without a look at it, unless it is the account's already.
    """
    rest, mistakes = dict(said), []
    if rest.get("ca_file") and (base is None or rest["ca_file"] != base.ca_file):
        del rest["ca_file"]
        mistakes.append(Mistake(("ca_file",), UsageError("ca_file_from_afar", account=said.get("name"))))
    if "authority" not in rest:
        return rest, mistakes
    name, known = rest.pop("authority"), _files(parts)
    if not name:
        return ({"ca_file": None} | rest if not rest.get("ca_pem") else rest), mistakes
    if str(name) in known:
        return rest | {"ca_file": known[str(name)]}, mistakes
    error = UsageError(
        "authority_unknown",
        authority=name,
        near=nearest(str(name), known),
        known=", ".join(sorted(known)) or None,
        folder=parts.settings.poll.authorities,
    )
    return rest, [*mistakes, Mistake(("authority",), error)]


def _files(parts: Concord) -> dict[str, str]:
    return {file.stem: str(file) for file in parts.settings.poll.authorities.glob(f"*{_SUFFIX}") if file.is_file()}
