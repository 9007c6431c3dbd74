"""What a form brought, read once and without trust."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import Depends, Request
from starlette.datastructures import FormData, UploadFile

from concord.errors import UsageError


class Posted:
    """A form's fields as text, its files as octets."""

    def __init__(self, form: FormData, files: dict[str, bytes]) -> None:
        self._form = form
        self._files = files

    def text(self, name: str, default: str = "") -> str:
        """A field's value, without spaces around it."""
        value = self._form.get(name)
        return value.strip() if isinstance(value, str) else default

    def raw(self, name: str) -> str:
        """A field's value as typed: passwords may begin or end with a space."""
        value = self._form.get(name)
        return value if isinstance(value, str) else ""

    def all(self, name: str) -> Sequence[str]:
        """Every value of a field that may be there several times."""
        return [value for value in self._form.getlist(name) if isinstance(value, str)]

    def has(self, name: str) -> bool:
        """Whether the field was sent: how a ticked box shows."""
        return name in self._form

    def file(self, name: str) -> bytes:
        """An uploaded file's octets; empty where none was chosen."""
        return self._files.get(name, b"")

    def values(self) -> dict[str, str]:
        """Every text field, for showing the form again. Leave passwords out yourself."""
        return {name: value for name, value in self._form.items() if isinstance(value, str) and name != "csrf"}


async def _posted(request: Request) -> Posted:
    form = await request.form(max_files=4, max_fields=400)
    files = {name: await value.read() for name, value in form.items() if isinstance(value, UploadFile)}
    if any(isinstance(value, str) and "\0" in value for _, value in form.multi_items()):
        raise UsageError("nul")
    await form.close()  # a big file lies on the disk until then
    return Posted(form, files)


Form = Annotated[Posted, Depends(_posted)]
