"""`concord message parse`: the event that a mail file would become. Needs no configuration and touches nothing."""

from __future__ import annotations

from typing import Annotated

import typer

from concord.cli.files import read_mail
from concord.cli.options import Json
from concord.cli.output import emit


def parse(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="A mail as it is on disk (.eml); - is standard input.")],
    json: Json = True,
) -> None:
    """Print the event a mail would become, as JSON."""
    from concord.pipeline.event import preview

    del json  # always: the option is taken so that every command knows it
    emit(preview(read_mail(file)))
