"""Making accounts, handlers, workflows and rules what a file says (A8)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from concord.auditing import audited
from concord.model.caller import Caller
from concord.pipeline.apply import Change, Planner, Verb, carry_out
from concord.pipeline.wanted import Wanted
from concord.services.differences import differing
from concord.services.handlers import HandlerChecks
from concord.services.schedule import Followed, follow

if TYPE_CHECKING:
    from concord.bootstrap import Concord

# As the services of each noun say it.
_VERBS = {Verb.ADD: "add", Verb.CHANGE: "edit", Verb.REMOVE: "remove"}


def plan(parts: Concord, wanted: Wanted, *, prune: bool = False) -> list[Change]:
    """What would change; changes nothing. Raises UsageError, SecretKeyError."""
    planner = Planner(
        accounts=parts.accounts,
        rulebook=parts.rulebook,
        clients=parts.oauth_clients,
        vault=parts.sealing(),
        checks=HandlerChecks(),
        today=datetime.now(UTC).date(),
    )
    return planner.plan(wanted, prune=prune)


def apply(parts: Concord, changes: Iterable[Change], *, by: Caller) -> Followed | None:
    """Do what the plan says, line by line; begun again after a failure, it does the rest.

    The schedule follows where accounts change; None where none does.
    """
    nouns = set()
    for change in changes:
        with audited(parts.audit, by, f"{change.noun}.{_VERBS[change.verb]}", change.name, detail=_told(change)):
            carry_out([change])
        nouns.add(change.noun)
    return follow(parts) if "account" in nouns else None


def _told(change: Change) -> str:
    secret = ("password", "secret")
    shown = [one for one in change.differences if one.field not in secret]
    before, after = ({one.field: getattr(one, side) for one in shown} for side in ("before", "after"))
    told = differing(before, after, *(one.field for one in change.differences if one.field in secret))
    return f"{told}; by a file" if told else "by a file"
