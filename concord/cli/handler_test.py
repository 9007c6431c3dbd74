"""`concord handler test`: one sample event, sent now, and what the receiver said."""

from __future__ import annotations

import json as jsons
from typing import Annotated, Final
from uuid import uuid4

import typer

from concord.cli.border import problem, told_lines
from concord.cli.find_handler import find_handler
from concord.cli.options import Json
from concord.cli.output import emit, facts, say
from concord.cli.session import here
from concord.errors import ConcordError
from concord.ports import Consignment

_SAMPLE: Final = (
    b"From: Concord <concord@example.com>\r\nTo: you@example.com\r\nSubject: A sample event from Concord\r\n"
    b"Date: Thu, 01 Jan 2026 00:00:00 +0000\r\nMessage-ID: <sample@example.com>\r\n\r\n"
    b"This is a sample: no mail arrived.\r\n"
)


def test(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The handler.")],
    json: Json = False,
) -> None:
    """Send the handler a sample event now, in this process, and show what came of it."""
    from concord.pipeline.event import preview

    spec = find_handler(name)
    document = jsons.dumps(preview(_SAMPLE), ensure_ascii=False, separators=(",", ":")).encode()
    consignment = Consignment(id=str(uuid4()), event=jsons.loads(document), document=document)
    try:
        told = here().handlers.get(spec).deliver(consignment)
    except ConcordError as error:
        if json:
            emit({"delivered": False, "error": problem(error)})
        typer.echo("\n".join(told_lines(error)), err=True)
        raise typer.Exit(1) from None
    if json:
        emit({"delivered": True, "facts": told})
        return
    say(f"Handler '{name}' took the sample event.")
    if told:
        facts(told)
