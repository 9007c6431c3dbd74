"""Templates: Jinja2, everything escaped, an unknown name an error, words from the catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlencode

from babel.dates import format_timedelta
from babel.numbers import format_decimal
from fastapi import Request
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse

from concord import __version__
from concord.web import assets, cookies, error_text, flash, labels
from concord.web.i18n import N_, gettext, ngettext, spoken
from concord.web.language import Language
from concord.wording.template import fill

THEME: Final = "concord_theme"
THEMES: Final = ("light", "dark")
_LOCALES: Final = {Language.ENGLISH: "en", Language.CHINESE: "zh_Hans_CN"}
_KILO: Final = 1000
_BRIEF_SECONDS: Final = 100
_MOST_OF_A_SPAN: Final = 72
_SPANS: Final = ((60, "min"), (3600, "h"), (86_400, "d"))
_UNITS: Final = ("B", "kB", "MB", "GB", "TB")


def render(
    request: Request,
    template: str,
    *,
    status: int = HTTPStatus.OK,
    headers: Mapping[str, str] | None = None,
    **context: Any,
) -> HTMLResponse:
    """A whole page, or a part of one, in the request's language."""
    return HTMLResponse(text_of(request, template, **context), status, headers)


def text_of(request: Request, template: str, **context: Any) -> str:
    """The same as text: for parts that go over an event stream."""
    given = {
        "request": request,
        "visitor": getattr(request.state, "visitor", None),
        "flash": flash.take(request),
        "language": spoken(),
        "theme": theme_of(request),
        "path": request.url.path,
        "now": datetime.now(UTC),
    }
    return environment().get_template(template).render(given | context)


def theme_of(request: Request) -> str:
    """What the visitor chose; empty: as the system has it."""
    chosen = cookies.value_of(request, THEME)
    return chosen if chosen in THEMES else ""


@cache
def environment() -> Environment:
    """All templates, compiled once."""
    made = Environment(
        loader=PackageLoader("concord.web"),
        auto_reload=False,  # a running service knows nothing of templates that an upgrade just installed
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n", "jinja2.ext.do"],
    )
    # The extension's own way to give it its functions; Jinja2 adds the method when it loads it.
    made.install_gettext_callables(gettext, ngettext, newstyle=True)  # type: ignore[attr-defined]  # as above
    made.globals |= {"static": assets.url, "version": __version__, "query": query, "N_": N_}
    made.filters |= {
        "when": when,
        "ago": ago,
        "span": span,
        "octets": octets,
        "brief": brief,
        "count": count,
        "told": told,
        "told_with": told_with,
        "error_text": error_text.error_text,
        "sentence": error_text.sentence,
        "remedy": error_text.remedy,
        "fact": fact,
        "pair": lambda text: (text, text),  # a choice that is called what it is
        "label": labels.label,
        "tone": labels.tone,
    }
    return made


def told(message: object) -> str:
    """A sentence of Concord's own, an error's say, in the request's language."""
    return gettext(str(message))


def told_with(message: object, values: Mapping[str, object]) -> str:
    """A sentence of Concord's own with values in it; as it stands where one of them is missing."""
    sentence = gettext(str(message))
    try:
        return fill(sentence, values)
    except KeyError:
        return sentence


def fact(name: str) -> str:
    """The name of an error's field, for people."""
    return gettext(name.replace("_", " "))


def when(moment: datetime | None) -> Markup:
    """A time: UTC for those without JavaScript, the browser's own zone for the others."""
    if moment is None:
        return Markup("<span class=none>–</span>")
    said = moment.astimezone(UTC)
    return Markup('<time datetime="{}" title="{} UTC">{} UTC</time>').format(
        said.isoformat(timespec="seconds").replace("+00:00", "Z"),
        f"{said:%Y-%m-%d %H:%M:%S}",
        f"{said:%Y-%m-%d %H:%M}",
    )


def ago(moment: datetime | None, now: datetime | None = None) -> Markup:
    """How long ago, with the time itself at hand."""
    if moment is None:
        return Markup("<span class=none>–</span>")
    since = moment - (now or datetime.now(UTC))
    said = format_timedelta(since, add_direction=True, locale=_LOCALES[spoken()])
    return Markup('<time datetime="{}" title="{:%Y-%m-%d %H:%M:%S} UTC" data-ago>{}</time>').format(
        moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"), moment.astimezone(UTC), said
    )


def span(length: timedelta | float | None) -> str:
    """A length of time in its greatest unit; a number is seconds."""
    if length is None:
        return "–"
    return format_timedelta(
        length if isinstance(length, timedelta) else timedelta(seconds=length), locale=_LOCALES[spoken()], threshold=1.5
    )


def brief(seconds: float | None) -> str:
    """`0.4 s`, `12 s`, `3 min`, `2 h`, `5 d`: for figures and tables."""
    if seconds is None:
        return "–"
    if seconds < _BRIEF_SECONDS:
        return f"{seconds:.1f} s" if 0 < seconds < 9.95 else f"{seconds:.0f} s"  # noqa: PLR2004 - two digits that mean something
    unit, name = next(((unit, name) for unit, name in _SPANS if seconds < _MOST_OF_A_SPAN * unit), _SPANS[-1])
    return f"{seconds / unit:.0f} {name}"


def octets(size: float | None) -> str:
    """`84 MB`."""
    if size is None:
        return "–"
    left = float(size)
    for unit in _UNITS:
        if left < _KILO or unit == _UNITS[-1]:
            break
        left /= _KILO
    return f"{left:.0f} {unit}" if unit == "B" or left >= 10 else f"{left:.1f} {unit}"  # noqa: PLR2004 - two digits that mean something


def count(number: float | None) -> str:
    """With the language's grouping."""
    return "–" if number is None else format_decimal(number, locale=_LOCALES[spoken()])


def query(values: Mapping[str, object], **changes: object) -> str:
    """A query string of those values, changed; what is None or empty is left out."""
    whole = {**values, **changes}
    return urlencode({name: str(value) for name, value in whole.items() if value not in (None, "")})
