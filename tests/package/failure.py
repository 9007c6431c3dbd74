"""The one way in which a machine fails a test."""

from __future__ import annotations


class MachineError(AssertionError):
    """A machine did not do what a test asked of it; all that it said is in the text."""
