"""After-actions (P12): only on the very message that was archived, and never where there is a doubt."""

from __future__ import annotations

import pytest

from concord.errors import MailboxFolderError
from concord.model.account import AccountState, AfterAction, AfterKind
from concord.model.message import AfterState
from concord.pipeline.poll import PollOutcome
from tests.factories import mail
from tests.fakes.world import USER, World

DELETE = AfterAction(kind=AfterKind.DELETE)
MOVE = AfterAction(kind=AfterKind.MOVE, folder="Done")


@pytest.fixture(params=[DELETE, MOVE], ids=["delete", "move"])
def processed(request: pytest.FixtureRequest, world: World) -> World:
    """One message, processed, whose after-action waits."""
    world.change_account(after=request.param)
    world.deliver(mail("Processed"))
    world.poll()
    world.process()
    return world


def test_folder_recreated_during_a_poll_keeps_its_new_mail(processed: World) -> None:
    """E: the UID of a processed message names a message that was never fetched."""

    def recreate(_folder: str, writable: bool) -> None:  # noqa: FBT001 - the knob's signature
        if writable:
            processed.mailbox.before_select = None
            processed.mailboxes.expunge(USER, [1])
            processed.mailboxes.reset_uidvalidity(USER)
            processed.deliver(mail("Never fetched"))

    processed.mailbox.before_select = recreate
    report = processed.poll()

    assert report.outcome is PollOutcome.DONE
    assert processed.mailboxes.flags(USER) == {1: ()}
    processed.poll()
    assert processed.subjects() == ["Processed", "Never fetched"]


def test_folder_whose_status_failed_is_not_written_to(processed: World) -> None:
    """E: with a STATUS that failed once, nobody compared the UIDVALIDITY."""

    def fail(folder: str) -> None:
        processed.mailbox.before_status = None
        raise MailboxFolderError("A folder cannot be used on the IMAP server", folder=folder)

    processed.mailboxes.reset_uidvalidity(USER)
    processed.mailbox.before_status = fail
    report = processed.poll()

    assert report.outcome is PollOutcome.FAILED
    assert processed.mailbox.changes == []
    assert [message.after for message in processed.messages()] == [AfterState.PENDING]


def test_uidvalidity_that_changes_at_every_selection_is_told(world: World) -> None:
    """A server without stable numbers can be neither read nor written to, and its account must not look well."""
    world.change_account(after=DELETE)
    world.deliver(mail())
    world.mailbox.before_select = lambda _folder, _writable: world.mailboxes.reset_uidvalidity(USER)

    report = world.poll()

    status = world.accounts.status(world.account.id)
    assert report.outcome is PollOutcome.FAILED
    assert (status.state, status.last_error_code) == (AccountState.BACKING_OFF, "folder_renumbered")
    assert len(world.mailboxes.flags(USER)) == 1


def test_folder_renumbered_in_the_middle_of_a_fetch_mixes_nothing(world: World) -> None:
    """C, E: what was read keeps its old number; the rest is read under the new ones, and nothing is doubled."""
    world.poll()
    for number in range(4):
        world.deliver(mail(f"Mail {number}"))

    def renumber(uid: int) -> None:
        if uid == 3:
            world.mailbox.before_fetch = None
            world.mailboxes.reset_uidvalidity(USER)

    world.mailbox.before_fetch = renumber
    world.poll()
    world.poll()

    assert sorted(filter(None, world.subjects())) == [f"Mail {number}" for number in range(4)]
    assert {message.uidvalidity for message in world.messages()} == {2}
