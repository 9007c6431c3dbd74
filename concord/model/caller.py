"""Who asks for something, and by which way: what the audit writes down."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A person, or a program with a person's token."""

    actor: str  # alice
    via: str = "cli"  # cli, admin, api
    address: str = ""  # where the browser or program is; empty at the command line
