"""A connection test under way, for a page that shows each step as it ends: it runs by itself, whoever looks on."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from fastapi import Request

from concord.bootstrap import Concord
from concord.errors import ConcordError, ConflictError
from concord.model.account import Account
from concord.model.caller import Caller
from concord.ports import CheckStep
from concord.services import accounts
from concord.web.shelf import Shelf
from concord.web.steps import PLANNED, PLANNED_OAUTH, ShownStep, shown, title

MOST_AT_ONCE: Final = 8
_KEPT: Final = 12
_running = threading.BoundedSemaphore(MOST_AT_ONCE)


@dataclass(kw_only=True)
class Trial:
    """One test. `given` is what the form said, for going back to it; `account_id` is 0 where it is of a new mailbox."""

    account: Account = field(repr=False)
    account_id: int = 0
    given: Mapping[str, str] = field(default_factory=dict, repr=False)
    has_password: bool = False  # typed for this test, and not kept yet
    steps: list[CheckStep] = field(default_factory=list)
    trouble: ConcordError | None = None
    ended: bool = False

    @property
    def passed(self) -> bool:
        """Whether every step went well."""
        return self.ended and self.trouble is None and bool(self.steps) and all(step.ok for step in self.steps)

    def shown(self) -> list[ShownStep]:
        """The steps that have ended, in the reader's words."""
        return [shown(step) for step in list(self.steps)]

    def to_come(self) -> list[str]:
        """The titles of those that have not."""
        if self.ended:
            return []
        planned = PLANNED_OAUTH if self.account.auth.is_oauth else PLANNED
        return [title(name) for name in planned[len(self.steps) :]]

    def run(self, parts: Concord, by: Caller) -> None:
        """Begin, in a thread of its own. Raises ConflictError where too many run already."""
        _take_turn()
        threading.Thread(target=self.work, args=(parts, by), name=f"test {self.account.name}", daemon=True).start()

    def work(self, parts: Concord, by: Caller) -> None:
        """The test itself, by whoever has taken his turn."""
        try:
            for step in accounts.test(parts, self.account, by=by):
                self.steps.append(step)
        except ConcordError as error:
            self.trouble = error
        finally:
            self.ended = True
            _running.release()


def tried(parts: Concord, account: Account, *, by: Caller) -> list[CheckStep]:
    """A whole test in this thread. Raises ConflictError where too many run already; SecretKeyError."""
    trial = Trial(account=account)
    _take_turn()
    trial.work(parts, by)
    if trial.trouble:
        raise trial.trouble
    return trial.steps


def _take_turn() -> None:
    if not _running.acquire(blocking=False):
        raise ConflictError("too_many_tests", limit=MOST_AT_ONCE)


def trials_of(request: Request) -> Shelf[Trial]:
    """Those of this process."""
    state = request.app.state
    if not hasattr(state, "trials"):
        state.trials = Shelf[Trial](most=_KEPT)
    shelf: Shelf[Trial] = state.trials
    return shelf
