"""Errors as rows keep them, in answers of the API: in English as a field, its facts as another."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import PlainSerializer, computed_field

from concord.model.fault import Fault, in_english
from concord.web.rest import Model

Story = Annotated[str | None, PlainSerializer(in_english, return_type=str | None)]
"""What happened, and what to do."""


class WithStory(Model):
    """What may have failed."""

    error: Story

    @computed_field(description="What the error is about, in parts; null where there is none.")  # type: ignore[prop-decorator]  # pydantic's own way
    @property
    def error_facts(self) -> dict[str, Any] | None:
        """Its parts."""
        return facts_in(self.error)


def facts_in(stored: str | None) -> dict[str, Any] | None:
    """The facts of an error as a row keeps it; None where there are none."""
    fault = Fault.parse(stored)
    return dict(fault.facts) if fault else None
