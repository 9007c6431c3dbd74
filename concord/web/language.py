"""Which of our languages a browser would rather read."""

from __future__ import annotations

from enum import StrEnum


class Language(StrEnum):
    """As HTML's `lang` has it."""

    ENGLISH = "en"
    CHINESE = "zh-CN"


def preferred(accept: str) -> Language:
    """From an Accept-Language header (RFC 9110, section 12.5.4). English where it names neither."""
    ranked = sorted((_range(part) for part in accept.split(",")), key=lambda each: each[1], reverse=True)
    for tag, quality in ranked:
        if quality <= 0:
            break
        if tag == "zh" or tag.startswith("zh-"):
            return Language.CHINESE
        if tag == "en" or tag.startswith("en-"):
            return Language.ENGLISH
    return Language.ENGLISH


def _range(part: str) -> tuple[str, float]:
    tag, _, parameter = part.partition(";")
    name, _, value = parameter.partition("=")
    try:
        quality = float(value) if name.strip().lower() == "q" else 1.0
    except ValueError:
        quality = 0.0
    return tag.strip().lower(), quality
