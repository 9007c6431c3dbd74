"""The numbers in the database: a row for each value of a minute or an hour, folded into points where they lie."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Engine,
    Row,
    and_,
    cast,
    delete,
    extract,
    func,
    or_,
    select,
)

from concord.adapters.sql.engine import reading, transaction
from concord.adapters.sql.number_tables import numbers
from concord.adapters.sql.upsert import insert_for
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

_Points = Mapping[str, Mapping[datetime, float]]


class SqlNumbers:
    """Keeps `ports.Numbers`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def record(self, minute: datetime, values: Mapping[str, float]) -> None:
        """The minute, and its hour made anew: doing it twice changes nothing."""
        kept = {name: float(value) for name, value in values.items() if value or SERIES[name].marker is None}
        hour = floored(minute, HOUR)
        with transaction(self._engine) as connection:
            _put(connection, MINUTE, minute, kept)
            whole = _folded(connection, list(SERIES), (hour, hour + timedelta(seconds=HOUR)), (MINUTE, HOUR))
            _put(connection, HOUR, hour, {name: points[hour] for name, points in whole.items()})

    def last(self) -> datetime | None:
        """The newest minute that was counted."""
        with reading(self._engine) as connection:
            return _newest(connection, COUNTED)

    def read(self, names: Sequence[str], *, since: datetime, until: datetime, step: int) -> Readings:
        """Every point of the span, also where nothing was recorded."""
        times = grid(since, until, step)
        wanted = {*names, *(marker for name in names if (marker := SERIES[name].marker))}
        if not times:
            return Readings(step=step, times=(), values=dict.fromkeys(names, ()))
        source = HOUR if step >= HOUR else MINUTE
        with reading(self._engine) as connection:
            found = _folded(connection, sorted(wanted), (times[0], until), (source, step))
        return Readings(step=step, times=times, values={name: _filled(name, found, times) for name in names})

    def latest(self, names: Sequence[str], *, within: timedelta = timedelta(0)) -> Latest:
        """Of the newest minute that was looked at."""
        with reading(self._engine) as connection:
            at = _newest(connection, SAMPLED)
            if at is None:
                return Latest(at=None, values={})
            rows = connection.execute(
                select(numbers.c.series, numbers.c.at, numbers.c.value)
                .where(_of(MINUTE, names), numbers.c.at >= at - within, numbers.c.at <= at)
                .order_by(numbers.c.at)
            )
            # The later replace the earlier; what has a marker is known at every look.
            found = {row.series: row.value for row in rows if row.at == at or SERIES[row.series].marker is None}
        zeros = {name: 0.0 for name in names if SERIES[name].marker == SAMPLED}
        return Latest(at=at, values=zeros | found)

    def prune(self, now: datetime) -> int:
        """Minutes after a month, hours after a year."""
        old = or_(
            and_(numbers.c.step == MINUTE, numbers.c.at < now - MINUTES_KEPT),
            and_(numbers.c.step == HOUR, numbers.c.at < now - HOURS_KEPT),
        )
        with transaction(self._engine) as connection:
            return connection.execute(delete(numbers).where(old)).rowcount


def _put(connection: Connection, step: int, at: datetime, values: Mapping[str, float]) -> None:
    # The names are spelt out, so that the key finds the rows.
    connection.execute(delete(numbers).where(_of(step, list(SERIES)), numbers.c.at == at))
    rows = [{"step": step, "series": name, "at": at, "value": value} for name, value in values.items()]
    if rows:
        put = insert_for(connection, numbers)
        newer = put.on_conflict_do_update(
            index_elements=["step", "series", "at"], set_={"value": put.excluded["value"]}
        )
        connection.execute(newer, rows)


def _newest(connection: Connection, marker: str) -> datetime | None:
    wanted = select(numbers.c.at).where(_of(MINUTE, [marker])).order_by(numbers.c.at.desc()).limit(1)
    return connection.execute(wanted).scalar_one_or_none()


def _folded(
    connection: Connection, names: Sequence[str], span: tuple[datetime, datetime], steps: tuple[int, int]
) -> _Points:
    """By series, then by the point's time; `steps` are the source's and the points'."""
    source, step = steps
    bucket = cast(extract("epoch", numbers.c.at), BigInteger) // step  # times are whole minutes
    wanted = (
        select(
            numbers.c.series,
            bucket.label("bucket"),
            func.sum(numbers.c.value).label(Fold.SUM),
            func.avg(numbers.c.value).label(Fold.MEAN),
            func.max(numbers.c.value).label(Fold.MOST),
        )
        .where(_of(source, names), numbers.c.at >= span[0], numbers.c.at < span[1])
        .group_by(numbers.c.series, bucket)
    )
    found: dict[str, dict[datetime, float]] = defaultdict(dict)
    for row in connection.execute(wanted):
        found[row.series][datetime.fromtimestamp(row.bucket * step, UTC)] = _value(row)
    return found


def _value(row: Row[Any]) -> float:
    return float(row._mapping[SERIES[row.series].fold])  # noqa: SLF001 - the public name of a row's columns by name


def _of(step: int, names: Sequence[str]) -> ColumnElement[bool]:
    return and_(numbers.c.step == step, numbers.c.series.in_(names))


def _filled(name: str, found: _Points, times: Sequence[datetime]) -> tuple[float | None, ...]:
    """A point without a value is 0 where somebody looked, and unknown where nobody did."""
    mine, looked = found.get(name, {}), found.get(SERIES[name].marker or "", {})
    return tuple(mine.get(time, 0.0 if time in looked else None) for time in times)
