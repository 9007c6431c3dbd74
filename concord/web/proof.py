"""What is sensitive is done by the person: their own password goes with it, unless it was given in the last minutes."""

from __future__ import annotations

from typing import Final

from concord.bootstrap import Concord
from concord.errors import PasswordsBusyError, ProofNeededError, SignInRefusedError, TooManyAttemptsError
from concord.services.identity import Identity
from concord.web.forms import Posted
from concord.web.visitor import Visitor

FIELD: Final = "own_password"
NOT_PROVED: Final = (ProofNeededError, SignInRefusedError, TooManyAttemptsError, PasswordsBusyError)
"""What a page shows above its form where the proof is missing or wrong."""


def prove(parts: Concord, visitor: Visitor, form: Posted | None = None) -> None:
    """Raises those of NOT_PROVED. A token is a program's, which has no password; its scopes say what it may do."""
    if visitor.session:
        Identity(parts).prove(visitor.session, form.raw(FIELD) if form else "", by=visitor.caller)
