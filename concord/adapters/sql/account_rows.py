"""Accounts, their states and cursors, between values and rows."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

from sqlalchemy import Row

from concord.model.account import (
    Account,
    AccountNote,
    AccountState,
    AccountStatus,
    AfterAction,
    AuthKind,
    FolderCursor,
    StartPoint,
    Tls,
    one_inbox,
)


def account_values(account: Account) -> dict[str, Any]:
    """What of an account an operator may change: everything but id, key and name."""
    return {
        "host": account.host,
        "port": account.port,
        "tls": account.tls.value,
        "login": account.user,
        "auth": account.auth.value,
        "oauth_client": account.oauth_client,
        "secret": account.secret,
        "ca_file": account.ca_file,
        "ca_pem": account.ca_pem,
        "folders": list(account.folders),
        "start": str(account.start),
        "after": str(account.after),
        "interval": account.interval,
        "priority": account.priority,
        "enabled": account.enabled,
    }


def account_of(row: Row[Any]) -> Account:
    """The account a row says."""
    return Account(
        id=row.id,
        key=row.key,
        name=row.name,
        host=row.host,
        port=row.port,
        tls=Tls(row.tls),
        user=row.login,
        auth=AuthKind(row.auth),
        oauth_client=row.oauth_client,
        secret=row.secret,
        ca_file=row.ca_file,
        ca_pem=row.ca_pem,
        folders=one_inbox(row.folders),
        start=StartPoint.parse(row.start),
        start_at=row.start_at or row.created_at,
        after=AfterAction.parse(row.after),
        interval=row.interval,
        priority=row.priority,
        enabled=row.enabled,
    )


# Columns of the state that polls read, and others write.
_OF_OTHERS: Final = ("unaccounted", "lost", "reconciled_at", "login_version", "notes", "begun_at")


def status_values(status: AccountStatus) -> dict[str, Any]:
    """The columns of a status that a poll's end writes: neither the lease nor what others find."""
    told = asdict(status) | {"state": status.state.value}
    return {name: value for name, value in told.items() if name not in _OF_OTHERS}


def status_of(row: Row[Any]) -> AccountStatus:
    """The status a row says."""
    return AccountStatus(
        state=AccountState(row.state),
        failures=row.failures,
        last_success=row.last_success,
        last_poll=row.last_poll,
        last_error=row.last_error,
        last_error_code=row.last_error_code,
        last_error_at=row.last_error_at,
        next_try=row.next_try,
        unaccounted=row.unaccounted + row.lost if row.unaccounted is not None else row.lost or None,
        lost=row.lost,
        reconciled_at=row.reconciled_at,
        notes=tuple(note for note in AccountNote if note in (row.notes or ())),
        begun_at=row.begun_at,
        login_version=row.login_version,
    )


def cursor_of(row: Row[Any]) -> FolderCursor:
    """The cursor a row says."""
    return FolderCursor(
        account_id=row.account_id,
        folder=row.folder,
        uidvalidity=row.uidvalidity,
        last_uid=row.last_uid,
        backfill_next=row.backfill_next,
        backfill_low=row.backfill_low,
        begun_at=row.begun_at,
        begun_uid=row.begun_uid,
        start_at=row.start_at,
        uidnext=row.uidnext,
        messages=row.messages,
        modseq=row.modseq,
        checked_at=row.checked_at,
        visited_at=row.visited_at,
        careful_low=row.careful_low,
        careful_high=row.careful_high,
        died_uid=row.died_uid,
        deaths=row.deaths,
        fetching_uid=row.fetching_uid,
    )
