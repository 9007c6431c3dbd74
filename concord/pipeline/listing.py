"""Which UIDs a folder has. What SEARCH answers is believed only where EXISTS and UIDNEXT bear it out.

Real servers answer SEARCH with nothing, or with numbers that no mail has, and report no error. Where the answer and the
selection disagree, the UIDs come from `UID FETCH n:* (UID)`: that names each mail the server can hand over.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from typing import Final

from concord.ports import FolderStatus, MailSource

# So many UIDs are listed at a time: a big folder must not fill the memory.
WINDOW: Final = 50_000


class Listing:
    """The UIDs of the folder that is selected; `status` is what SELECT said of it.

    `messages` is how many mails it had at the last look: more than that, and something must be new.
    """

    def __init__(self, source: MailSource, status: FolderStatus, *, messages: int | None = None) -> None:
        self._source = source
        self._status = status
        self._messages = messages
        self._trusts_search = True
        self.is_search_wrong = False  # it left out a mail, or named one that is not there

    def uids(self, low: int = 1, high: int | None = None) -> list[int]:
        """Existing UIDs with low <= uid <= high (None: no limit), ascending."""
        if not self._trusts_search:
            return self._fetched(low, high)
        found = self._source.uids(low, high)
        if self._bears_out(found, low, high):
            return found
        fetched = self._fetched(low, high)
        self._compare(set(found), set(fetched))
        # FETCH may pass over in silence a mail that the server cannot read. Asked for, it is Unreadable, or it is gone.
        uidnext = self._status.uidnext
        return sorted({*fetched, *(uid for uid in found if uidnext is not None and uid < uidnext)})

    def verify(self) -> None:
        """Count what SEARCH lists of the whole folder; where EXISTS says otherwise, SEARCH is not asked again."""
        top = self._top()
        if top is None or self._status.messages is None:
            self._trusts_search = False
            return
        listed = sum(len(self._source.uids(low, high)) for low, high in self._windows(1, top))
        self._trusts_search = listed == self._status.messages and not self._source.uids(top + 1, None)

    def windows(self, low: int, high: int) -> Iterator[list[int]]:
        """The UIDs from low to high, about WINDOW at a time, however sparse the numbers are."""
        for start, end in self._windows(low, high):
            found = self._source.uids(start, end)
            if not self._trusts_search:
                fetched = self._fetch(start, end)
                self._compare(set(found), set(fetched))
                found = fetched
            yield found

    def since(self, day: date) -> set[int] | None:
        """UIDs whose INTERNALDATE is that day or later, by the server's calendar; None: SEARCH is not trusted."""
        return set(self._source.uids_since(day)) if self._trusts_search else None

    def dates(self, uids: list[int]) -> dict[int, datetime | None]:
        """The INTERNALDATE of each that is there."""
        return self._source.internal_dates(uids)

    def _bears_out(self, found: list[int], low: int, high: int | None) -> bool:
        """Whether EXISTS and UIDNEXT prove that this answer is complete and names nothing else."""
        exists, uidnext = self._status.messages, self._status.uidnext
        if exists == 0 and not found:
            return True
        if exists is None or uidnext is None or len(found) > exists or (found and found[-1] >= uidnext):
            return False
        if low <= 1 and high is None:
            return len(found) == exists
        top = uidnext - 1 if high is None else min(high, uidnext - 1)
        # Every number is there, so none is left out. With none to be there, the count must not have grown either.
        return len(found) == max(0, top - low + 1) and (bool(found) or not self._has_grown(exists))

    def _has_grown(self, exists: int) -> bool:
        return exists > 0 and (self._messages is None or exists > self._messages)

    def _fetched(self, low: int, high: int | None) -> list[int]:
        top = self._top()
        if high is not None or top is None or (self._status.messages or 0) <= WINDOW:
            return self._fetch(low, high)
        found = [uid for start, end in self._windows(low, top) for uid in self._fetch(start, end)]
        return found + self._fetch(max(low, top + 1), None)

    def _fetch(self, low: int, high: int | None) -> list[int]:
        """Some servers refuse a FETCH in a folder without mail."""
        return self._source.fetched_uids(low, high) if self._status.messages != 0 else []

    def _compare(self, found: set[int], fetched: set[int]) -> None:
        """Mail that came or went between the two commands is nobody's mistake."""
        uidnext = self._status.uidnext
        left_out = {uid for uid in fetched - found if uidnext is None or uid < uidnext}
        invented = {uid for uid in found - fetched if uidnext is None or uid >= uidnext}
        if left_out or invented:
            self.is_search_wrong = True
            self._trusts_search = False

    def _top(self) -> int | None:
        return None if self._status.uidnext is None else self._status.uidnext - 1

    def _windows(self, low: int, high: int) -> Iterator[tuple[int, int]]:
        spans = max(1, -(-(self._status.messages or 0) // WINDOW))
        width = max(1, -(-(high - low + 1) // spans))
        for start in range(low, high + 1, width):
            yield start, min(start + width - 1, high)
