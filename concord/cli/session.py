"""One run of the command: where it gets its Concord from, and how much it should say."""

from __future__ import annotations

import sys
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from concord.bootstrap import Concord


def _make() -> Concord:
    from concord.bootstrap import concord
    from concord.cli import identity

    if session().keeps_root:
        identity.put_on()
    else:
        identity.become()
    return concord()


@dataclass
class Session:
    """Tests give their own `make`."""

    make: Callable[[], Concord] = field(default=_make)
    debug: bool = False
    verbose: bool = False
    json: bool = False
    keeps_root: bool = False  # for verbs that ask systemd with root's rights; all others give them up for good

    @cached_property
    def concord(self) -> Concord:
        """Made when a command first needs it; what the library logs goes to standard error from then on."""
        self.begin_logging()
        return self.make()

    def begin_logging(self) -> None:
        """In columns: a person is watching."""
        from concord import log

        log.configure("pretty", "info" if self.verbose else "warning")

    def close(self) -> None:
        """Log out of mailboxes and let the database go, where they were used."""
        made = vars(vars(self).get("concord", object())) if "concord" in vars(self) else {}
        if "sources" in made:
            made["sources"].close()
        if "engine" in made:
            made["engine"].dispose()


_current: ContextVar[Session] = ContextVar("session")


def begin(session: Session) -> None:
    """From here on, this is the run."""
    _current.set(session)


def session() -> Session:
    """The present run."""
    return _current.get()


def here() -> Concord:
    """The parts of Concord, joined."""
    return session().concord


def is_watched() -> bool:
    """Whether a person at a terminal can be asked and shown progress."""
    return sys.stdin.isatty() and sys.stderr.isatty()
