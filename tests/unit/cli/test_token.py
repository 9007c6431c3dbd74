"""`concord token` (U5)."""

from __future__ import annotations

from tests.fakes.command import Command


def test_fresh_token_is_all_that_a_program_reads(run: Command) -> None:
    """`TOKEN=$(concord token create …)`: what is for people goes beside it."""
    run("user", "add", "alice", "--role", "admin", "--password-stdin", stdin="correct-horse-battery")

    made = run("token", "create", "nightly", "--user", "alice", "--scope", "sync")

    assert made.code == 0, made.err
    assert made.out.startswith("concord_")
    assert len(made.out.split()) == 1
    assert "concord token revoke 1" in made.err
