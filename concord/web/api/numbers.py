"""The numbers that Concord keeps of itself: what the overview plots, and for plots of one's own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal

from fastapi import Depends, Query
from pydantic import AwareDatetime, Field

from concord.errors import UsageError, nearest
from concord.model.number import HOURS_KEPT, SERIES, TOTALS, step_of
from concord.model.user import Permission
from concord.web.plots import SPANS, compact
from concord.web.rest import Model, api_router, needs
from concord.web.visitor import Parts, Visitor, api

router = api_router("numbers", tag="Numbers")

Reader = Annotated[Visitor, Depends(api(Permission.READ))]
Number = float | int
# Described as a choice, and refused by ourselves: with a guess at what was meant.
SeriesName = Annotated[str, Field(json_schema_extra={"enum": list(SERIES)})]
_TOTALS_WITHIN: Final = timedelta(hours=2)


class NumbersOut(Model):
    """Points at equal distances. The point `i` is of the span that begins at `since` + `i` × `step`."""

    since: datetime
    step: int = Field(description="Seconds.")
    series: dict[str, list[Number | None]] = Field(description="By name; null where nothing was measured.")


class LatestOut(Model):
    """The newest minute that was looked at."""

    at: datetime | None = Field(description="The beginning of the minute; null before there is one.")
    values: dict[str, Number]


class SeriesOut(Model):
    """One series."""

    name: str
    unit: Literal["count", "seconds", "octets"]
    fold: Literal["sum", "mean", "most"] = Field(description="How the minutes of a longer span become one value.")


@router.get("", openapi_extra=needs(Permission.READ))
def read_numbers(
    _me: Reader,
    parts: Parts,
    series: Annotated[list[SeriesName], Query(min_length=1, max_length=len(SERIES))],
    span: Annotated[
        Literal["1h", "24h", "7d", "30d"] | None, Query(description="The time until now; else give `since`.")
    ] = None,
    since: Annotated[AwareDatetime | None, Query(description="At most 13 months ago.")] = None,
    until: Annotated[AwareDatetime | None, Query(description="Left out: now.")] = None,
) -> NumbersOut:
    """Some series over a span, in about 400 points at most: of minutes, of hours, or of days."""
    begin, end, now = _span(span, since, until)
    names = list(dict.fromkeys(series))
    _refuse_unknown(names)
    found = parts.numbers.read(names, since=begin, until=end, step=step_of(begin, end, now))
    return NumbersOut(
        since=found.times[0] if found.times else begin,
        step=found.step,
        series={name: compact(found.values[name]) for name in names},
    )


@router.get("/latest", openapi_extra=needs(Permission.READ))
def read_latest(_me: Reader, parts: Parts) -> LatestOut:
    """Every series' newest value. Totals are counted once an hour; what is missing could not be measured."""
    names = [name for name in SERIES if name not in TOTALS]
    found = parts.numbers.latest(names)
    values = {**found.values, **parts.numbers.latest(TOTALS, within=_TOTALS_WITHIN).values}
    return LatestOut(
        at=found.at, values={name: value for name in values if (value := compact([values[name]])[0]) is not None}
    )


@router.get("/series", openapi_extra=needs(Permission.READ))
def list_series(_me: Reader) -> list[SeriesOut]:
    """What there is to be read."""
    return [
        SeriesOut.model_validate({"name": one.name, "unit": one.unit, "fold": one.fold.value})
        for one in SERIES.values()
    ]


def _span(span: str | None, since: datetime | None, until: datetime | None) -> tuple[datetime, datetime, datetime]:
    """From when to when, and now. What lies beyond what is kept is left out; nothing can be asked of the future."""
    now = datetime.now(UTC)
    if (span is None) == (since is None):
        raise UsageError("span_unclear")
    oldest, end = now - HOURS_KEPT, min(until or now, now)
    if end <= max(since or oldest, oldest):
        raise UsageError("span_empty")
    begin = end - SPANS[span].length if span else since or oldest
    return max(begin, oldest), end, now


def _refuse_unknown(names: list[str]) -> None:
    for name in names:
        if name not in SERIES:
            raise UsageError("series", series=name, near=nearest(name, SERIES))
