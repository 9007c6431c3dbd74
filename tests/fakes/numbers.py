"""The numbers in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from statistics import mean

from concord.model.number import (
    COUNTED,
    HOUR,
    HOURS_KEPT,
    MINUTE,
    MINUTES_KEPT,
    SAMPLED,
    SERIES,
    Fold,
    Latest,
    Readings,
    floored,
    grid,
)

_FOLDS: Mapping[Fold, Callable[[list[float]], float]] = {Fold.SUM: sum, Fold.MEAN: mean, Fold.MOST: max}


class MemoryNumbers:
    """A dictionary of minutes for each step."""

    def __init__(self) -> None:
        self._kept: dict[int, dict[datetime, dict[str, float]]] = {MINUTE: {}, HOUR: {}}

    def record(self, minute: datetime, values: Mapping[str, float]) -> None:
        minutes = self._kept[MINUTE]
        minutes[minute] = {name: float(value) for name, value in values.items() if value or not SERIES[name].marker}
        hour = floored(minute, HOUR)
        whole = [kept for at, kept in minutes.items() if floored(at, HOUR) == hour]
        self._kept[HOUR][hour] = {name: _fold(name, whole) for kept in whole for name in kept}

    def last(self) -> datetime | None:
        return self._newest(COUNTED)

    def read(self, names: Sequence[str], *, since: datetime, until: datetime, step: int) -> Readings:
        for name in names:
            _ = SERIES[name]
        times = grid(since, until, step)
        source = self._kept[HOUR if step >= HOUR else MINUTE]
        spans = [[kept for at, kept in source.items() if floored(at, step) == time and at < until] for time in times]
        return Readings(
            step=step, times=times, values={name: tuple(_point(name, span) for span in spans) for name in names}
        )

    def latest(self, names: Sequence[str], *, within: timedelta = timedelta(0)) -> Latest:
        at = self._newest(SAMPLED)
        if at is None:
            return Latest(at=None, values={})
        found = {name: 0.0 for name in names if SERIES[name].marker == SAMPLED}
        for minute in sorted(self._kept[MINUTE]):
            if at - within <= minute <= at:
                kept = self._kept[MINUTE][minute].items()
                found |= {name: value for name, value in kept if name in names and _speaks(name, minute, at)}
        return Latest(at=at, values=found)

    def prune(self, now: datetime) -> int:
        forgotten = 0
        for step, kept in ((MINUTE, MINUTES_KEPT), (HOUR, HOURS_KEPT)):
            for at in [at for at in self._kept[step] if at < now - kept]:
                forgotten += len(self._kept[step].pop(at))
        return forgotten

    def _newest(self, marker: str) -> datetime | None:
        return max((at for at, values in self._kept[MINUTE].items() if marker in values), default=None)


def _speaks(name: str, minute: datetime, newest: datetime) -> bool:
    return minute == newest or SERIES[name].marker is None


def _fold(name: str, span: Iterable[Mapping[str, float]]) -> float:
    return _FOLDS[SERIES[name].fold]([values[name] for values in span if name in values])


def _point(name: str, span: Sequence[Mapping[str, float]]) -> float | None:
    marker = SERIES[name].marker
    if any(name in values for values in span):
        return _fold(name, span)
    return 0.0 if any(marker in values for values in span) else None
