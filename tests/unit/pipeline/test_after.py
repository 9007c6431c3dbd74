"""After-actions (P12): only on the very message that was archived, and never where there is a doubt."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from concord.errors import ArchiveDownError, MailboxDownError, MailboxFolderError, MailboxQuotaError
from concord.model.account import AccountState, AfterAction, AfterKind
from concord.model.message import AfterState
from concord.pipeline.after import AFTER_ATTEMPTS
from concord.pipeline.poll import PollOutcome
from tests.factories import mail
from tests.fakes.blobs import blob
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
        raise MailboxFolderError("unusable", folder=folder)

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


# Only the very message that was archived.


def states(world: World) -> list[tuple[AfterState, str | None]]:
    return [(message.after, message.after_code) for message in world.messages()]


def refuse(
    *verbs: str, error: type[Exception] = MailboxFolderError, uid: int | None = None
) -> Callable[[str, Sequence[int]], None]:
    def act(verb: str, uids: Sequence[int]) -> None:
        if verb in verbs and (uid is None or uid in uids):
            raise error("The IMAP server refused a command")

    return act


def test_mail_of_another_size_is_neither_moved_nor_deleted(processed: World) -> None:
    """E: a FETCH that was shorter than RFC822.SIZE was archived as the whole mail, and the mail then deleted."""
    processed.mailbox.sizes[1] = len(processed.mailbox.folders["INBOX"].messages[1].raw) + 1

    report = processed.poll()

    assert report.outcome is PollOutcome.DONE
    assert processed.mailbox.changes == []
    assert states(processed) == [(AfterState.FAILED, "after_size")]
    processed.poll()
    assert processed.mailbox.changes == []


def test_mail_that_the_archive_lacks_is_neither_moved_nor_deleted(processed: World) -> None:
    """E: the server's copy may be the last one. It is tried again, for the archive may get it back."""
    key = processed.messages()[0].archive_key or ""
    raw = processed.archive.read(key)
    processed.archive.delete(key)

    processed.poll()

    assert processed.mailbox.changes == []
    assert states(processed) == [(AfterState.PENDING, "after_not_archived")]
    processed.archive.put([blob(key, raw)])
    processed.wait(minutes=6)
    processed.poll()
    assert states(processed) == [(AfterState.DONE, None)]


def test_nothing_is_changed_while_the_archive_does_not_answer(processed: World) -> None:
    processed.archive.down = True

    with pytest.raises(ArchiveDownError):
        processed.poll()

    assert processed.mailbox.changes == []
    assert states(processed) == [(AfterState.PENDING, None)]


def test_mail_that_is_gone_needs_nothing_more(processed: World) -> None:
    processed.mailboxes.expunge(USER, [1])

    processed.poll()

    assert processed.mailbox.changes == []
    assert states(processed) == [(AfterState.DONE, None)]


def test_flags_ask_for_no_size(world: World) -> None:
    """Marking as seen can be taken back, and some servers announce sizes that are wrong for every mail."""
    world.change_account(after=AfterAction(kind=AfterKind.SEEN))
    world.deliver(mail())
    world.mailbox.sizes[1] = 7
    world.poll()
    world.process()

    world.poll()

    assert world.mailboxes.flags(USER) == {1: ("\\Seen",)}


# A server that refuses.


def test_move_that_half_succeeded_is_not_copied_again(world: World) -> None:
    """E: COPY done, STORE refused: the next attempts delete the original and copy nothing."""
    world.mailbox.has_move = False
    world.change_account(after=MOVE)
    world.deliver(mail())
    world.poll()
    world.process()
    world.mailbox.before_change = refuse("DELETE")

    for _ in range(4):
        world.poll()
        world.wait(hours=7)

    assert len(world.mailboxes.flags(USER, "Done")) == 1
    assert states(world) == [(AfterState.PENDING, "mailbox_folder")]
    world.mailbox.before_change = None
    world.poll()
    assert world.mailboxes.flags(USER) == {}
    assert len(world.mailboxes.flags(USER, "Done")) == 1
    assert states(world) == [(AfterState.DONE, None)]


def test_session_that_ends_between_copy_and_delete_is_remembered(world: World) -> None:
    world.mailbox.has_move = False
    world.change_account(after=MOVE)
    world.deliver(mail())
    world.poll()
    world.process()
    world.mailbox.before_change = refuse("DELETE", error=MailboxDownError)

    report = world.poll()

    assert report.outcome is PollOutcome.FAILED
    world.mailbox.before_change = None
    world.wait(hours=1)
    world.poll()
    assert len(world.mailboxes.flags(USER, "Done")) == 1
    assert world.mailboxes.flags(USER) == {}


def test_mark_for_deletion_that_stays_is_the_end_of_it(world: World) -> None:
    r"""Without UIDPLUS \\Deleted is set and stays: a poll that was killed after that copies nothing again."""
    world.mailbox.has_move = world.mailbox.has_uidplus = False
    world.change_account(after=MOVE)
    world.deliver(mail())
    world.poll()
    world.process()
    world.mailbox.folders["INBOX"].messages[1].flags.add("\\Deleted")

    world.poll()

    assert world.mailbox.changes == []
    assert states(world) == [(AfterState.DONE, None)]


def test_refused_mail_does_not_hold_up_the_others(world: World) -> None:
    world.change_account(after=MOVE)
    for number in range(5):
        world.deliver(mail(f"Mail {number}"))
    world.poll()
    world.process()
    world.mailbox.before_change = refuse("MOVE", uid=3)

    report = world.poll()

    assert report.outcome is PollOutcome.FAILED
    assert sorted(world.mailboxes.flags(USER)) == [3]
    assert [message.uid for message in world.messages() if message.after is AfterState.PENDING] == [3]


def test_refusal_of_everything_asks_the_server_only_a_few_times(world: World) -> None:
    world.change_account(after=DELETE)
    for number in range(50):
        world.deliver(mail(f"Mail {number}"))
    world.poll()
    world.process()
    asked: list[Sequence[int]] = []

    def count(_verb: str, uids: Sequence[int]) -> None:
        asked.append(uids)
        raise MailboxFolderError("unusable")

    world.mailbox.before_change = count
    world.poll()

    assert len(asked) <= 5
    assert {message.after_code for message in world.messages()} == {"mailbox_folder"}


@pytest.mark.parametrize("error", [MailboxFolderError, MailboxQuotaError])
def test_refusal_that_lasts_is_given_up_in_the_end(processed: World, error: type[Exception]) -> None:
    """P12: with a back-off and so many attempts; the account is well again, and the mail says why it stays."""
    processed.mailbox.before_change = refuse("MOVE", "DELETE", error=error)
    attempts = 0

    for _ in range(60):
        attempts += processed.poll().outcome is PollOutcome.FAILED
        processed.wait(hours=1)

    [(state, code)] = states(processed)
    assert (state, code) == (AfterState.FAILED, error("").code)  # type: ignore[attr-defined]  # one of ours
    assert attempts == AFTER_ATTEMPTS
    assert processed.accounts.status(processed.account.id).state is AccountState.OK
    assert len(processed.mailboxes.flags(USER)) == 1
    steps = [step for step in processed.ledger.trail(processed.messages()[0].id) if step.what == "message.after"]
    assert len(steps) == 2  # the first and the last
