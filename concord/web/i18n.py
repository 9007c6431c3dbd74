"""Two languages by gettext: the catalogue is read once, the language is that of the request under way."""

from __future__ import annotations

import gettext as stdlib
import io
from contextvars import ContextVar
from functools import cache
from importlib.resources import files
from typing import Final

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from concord.web.language import Language

# English is what the code says.
_FOLDERS: Final = {Language.CHINESE: "zh_CN"}
_language: ContextVar[Language] = ContextVar("language", default=Language.ENGLISH)


def speak(language: Language) -> None:
    """From here on, this request's words are in that language."""
    _language.set(language)


def spoken() -> Language:
    """The language of this request."""
    return _language.get()


def gettext(message: str) -> str:
    """The message in the request's language."""
    return catalogue(spoken()).gettext(message) if message else ""


def ngettext(one: str, many: str, number: int) -> str:
    """The same for a number of things."""
    return catalogue(spoken()).ngettext(one, many, number)


def N_(message: str) -> str:  # noqa: N802 - gettext's own name for it
    """Mark a message that is translated where it is shown."""
    return message


@cache
def sentences() -> frozenset[str]:
    """Every sentence that pages may show, in English: all of them are in each catalogue (a test insists)."""
    messages = (message.id for message in _read(_FOLDERS[Language.CHINESE]) if message.id)
    return frozenset(one if isinstance(one, str) else one[0] for one in messages)


@cache
def catalogue(language: Language) -> stdlib.NullTranslations:
    """All that is translated into a language."""
    folder = _FOLDERS.get(language)
    if folder is None:
        return stdlib.NullTranslations()
    compiled = io.BytesIO()
    write_mo(compiled, _read(folder))
    compiled.seek(0)
    return stdlib.GNUTranslations(compiled)


def _read(folder: str) -> Catalog:
    with files("concord.web").joinpath(f"locale/{folder}/LC_MESSAGES/concord.po").open("rb") as file:
        return read_po(file, locale=folder)
