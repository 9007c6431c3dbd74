"""Sets of UIDs as IMAP writes them: `1:50,60`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence


def uid_set(uids: Iterable[int]) -> str:
    """The shortest writing of exactly these."""
    return ",".join(str(low) if low == high else f"{low}:{high}" for low, high in _runs(sorted(set(uids))))


def batches(uids: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    """So many at a time, in order."""
    for start in range(0, len(uids), size):
        yield uids[start : start + size]


def _runs(uids: list[int]) -> Iterator[tuple[int, int]]:
    low = high = None
    for uid in uids:
        if high is not None and uid == high + 1:
            high = uid
            continue
        if low is not None and high is not None:
            yield low, high
        low = high = uid
    if low is not None and high is not None:
        yield low, high
