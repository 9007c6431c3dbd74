"""How accounts are shown. Secrets only as 'set' or 'missing'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from concord.cli.output import amount, facts, local, plain, say, shown, table
from concord.model.account import Account, AccountNote, AccountStatus, FolderCursor, StartKind, Tls
from concord.model.fault import in_english
from concord.model.message import MessageState

Counts = Mapping[MessageState, int]
_NOTES: Final[Mapping[AccountNote, str]] = {
    AccountNote.SEARCH_UNRELIABLE: "the server's SEARCH is wrong, so mail is listed with FETCH; nothing is lost",
}


def document(account: Account, status: AccountStatus, counts: Counts) -> dict[str, Any]:
    """An account as JSON: what is configured, how it does, how many messages stand where."""
    settled: dict[str, Any] = plain(account)
    return settled | {
        "start": str(account.start),
        "after": str(account.after),
        "password": "set" if account.secret else "none" if account.auth.is_oauth else "missing",
        **plain(status),
        "messages": {state.value: counts.get(state, 0) for state in MessageState},
    }


def overview(accounts: Sequence[Account], statuses: Mapping[int, AccountStatus], counts: Mapping[str, Counts]) -> None:
    """One line for each."""
    rows = []
    for account in accounts:
        status, here = statuses[account.id], counts.get(account.name, {})
        rows.append(
            (
                account.name,
                state(account, status),
                f"{account.user} on {account.host}",
                status.last_success,
                sum(here.values()),
                here.get(MessageState.QUARANTINED, 0),
                status.unaccounted,
            )
        )
    table(("Name", "State", "Mailbox", "Last success", "Messages", "Quarantined", "Unaccounted"), rows)


def details(account: Account, status: AccountStatus, counts: Counts, cursors: Mapping[str, FolderCursor]) -> None:
    """Everything about one."""
    facts(
        {
            "Name": account.name,
            "Server": server(account),
            **_login(account),
            "CA file": account.ca_file or ("pasted certificates" if account.ca_pem else None),
            "Folders": account.folders,
            "Start": account.start,
            "After": account.after,
            "Interval": amount(account.interval, "second") if account.interval else "as poll.interval",
            "Priority": account.priority,
            "State": state(account, status),
            "Last success": status.last_success,
            "Last error": _last_error(status),
            "Next try": status.next_try or "at the next scheduled poll",
            "Messages": _counted(counts),
            "Unaccounted": _unaccounted(status),
            "Notes": [_NOTES[note] for note in status.notes] or None,
        }
    )
    if not cursors:
        say("No folder has been read yet.")
        return
    print()
    rows = [(one.folder, one.uidvalidity, one.last_uid, _backfill(one), one.checked_at) for one in cursors.values()]
    table(("Folder", "UIDVALIDITY", "Read up to UID", "Older mail", "Last looked at"), rows)


def _login(account: Account) -> dict[str, object]:
    if account.auth.is_oauth:
        return {"Login": account.auth, "OAuth2 client": account.oauth_client or "none"}
    return {"Password": "set" if account.secret else "missing"}


def server(account: Account) -> str:
    """`alice on imap.example.com:993 (implicit TLS)`."""
    protection = "without TLS" if account.tls is Tls.NONE else f"{account.tls.value} TLS"
    return f"{account.user} on {account.host}:{account.port} ({protection})"


def rhythm(account: Account, default_interval: int) -> str:
    """When it is polled, and from where. The interval is for an account that has none of its own."""
    if not account.enabled:
        return f"It is not polled until 'concord account enable {account.name}'."
    begin = {
        StartKind.NEW: "beginning with new mail",
        StartKind.ALL: "beginning with all mail it has",
        StartKind.SINCE: f"beginning with mail since {account.start.since}",
    }
    every = amount(account.interval or default_interval, "second")
    return f"It is polled every {every}, {begin[account.start.kind]}."


def state(account: Account, status: AccountStatus) -> str:
    """One word, and how often it failed."""
    if not account.enabled:
        return "disabled"
    word = status.state.value.replace("_", " ")
    return f"{word} ({status.failures}×)" if status.failures else word


def _last_error(status: AccountStatus) -> str | None:
    if not status.last_error:
        return None
    when = local(status.last_error_at) if status.last_error_at else "once"
    return f"{when}: {shown(in_english(status.last_error))}"


def _counted(counts: Counts) -> str:
    return ", ".join(f"{count} {state.value}" for state, count in counts.items() if count) or "none yet"


def _unaccounted(status: AccountStatus) -> str:
    """Mails that the server has and the ledger should have had."""
    if status.reconciled_at is None:
        return "not compared with the server yet"
    when = local(status.reconciled_at)
    if status.unaccounted is None:
        return f"unknown: at {when} it took too long to compare with the server"
    return f"{status.unaccounted}, as of {when}" + ("; they are being fetched" if status.unaccounted else "")


def _backfill(cursor: FolderCursor) -> str | None:
    if cursor.backfill_next is None or cursor.backfill_next <= cursor.backfill_low:
        return None
    return f"still to read: UID {cursor.backfill_low} to {cursor.backfill_next - 1}"
