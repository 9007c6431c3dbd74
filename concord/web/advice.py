"""What each state of a mailbox means, and what to do about it, in the reader's words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from concord.model.account import Account, AccountNote, AccountState, AccountStatus
from concord.web.i18n import N_


@dataclass(frozen=True, slots=True)
class Advice:
    """A sentence and a remedy, both to be translated."""

    sentence: str
    remedy: str = ""


_OFF: Final = Advice(N_("This mailbox is switched off."), N_("Switch it on to have it polled"))
_OAUTH: Final = Advice(
    N_("The provider takes the sign-in no longer."), N_("Sign in again on this page; polling resumes automatically")
)
_ADVICE: Final[Mapping[AccountState, Advice]] = {
    AccountState.NEW: Advice(
        N_("It has not been polled yet."), N_("If that lasts, see on the page 'Workers' whether the mail service runs")
    ),
    AccountState.OK: Advice(N_("It is polled without trouble.")),
    AccountState.BACKING_OFF: Advice(
        N_("The last polls failed, so Concord asks less often for now."),
        N_("See the last error; 'Test' says which step fails"),
    ),
    AccountState.AUTH_FAILED: Advice(
        N_("The server refuses the login. Concord tries rarely now, so that nobody is locked out."),
        N_("Give the right password; many providers want an app password of their own"),
    ),
    AccountState.TLS: Advice(
        N_("No trusted TLS connection can be made."),
        N_("'Test' shows the certificate; have it renewed, use the name it is for, or give its authority's file"),
    ),
    AccountState.DNS: Advice(
        N_("The server's name has no address."), N_("Correct the host's spelling, or this machine's DNS")
    ),
    AccountState.UNREACHABLE: Advice(
        N_("The server does not answer."),
        N_("Check host, port and the network between; Concord keeps trying automatically"),
    ),
    AccountState.THROTTLED: Advice(
        N_("The server asks us to come back later."),
        N_("Nothing to do; if it lasts, poll less often or use fewer connections"),
    ),
    AccountState.FOLDER_MISSING: Advice(
        N_("A folder that should be polled is not there. The others are polled."),
        N_("'Test' lists the folders there are; correct the names"),
    ),
    AccountState.QUOTA: Advice(
        N_("The mailbox is full, so the server refuses changes. New mail is still taken."),
        N_("Make room in the mailbox"),
    ),
    AccountState.INTERNAL_ERROR: Advice(
        N_("Concord itself failed while it polled this mailbox. No mail is lost."),
        N_("This is a defect of Concord: report it with the traceback from the poll worker's log"),
    ),
}


_NOTES: Final[Mapping[AccountNote, Advice]] = {
    AccountNote.SEARCH_UNRELIABLE: Advice(
        N_(
            "Its server's SEARCH command leaves out mail or names mail that is not there."
            " Concord lists mail with FETCH instead; nothing is lost."
        ),
        N_("Nothing to do; the server's operator may want to know"),
    ),
}


def notes_on(status: AccountStatus) -> list[tuple[AccountNote, Advice]]:
    """What was found out about its server, and what it means."""
    return [(note, _NOTES[note]) for note in status.notes]


def advice_on(account: Account, status: AccountStatus) -> Advice:
    """The advice for how it does now."""
    if not account.enabled:
        return _OFF
    if status.state is AccountState.AUTH_FAILED and account.auth.is_oauth:
        return _OAUTH
    return _ADVICE[status.state]
