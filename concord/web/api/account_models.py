"""Mailboxes as the API says them. Passwords go in and never come out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import Field, SecretStr

from concord.model.account import Account, AccountNote, AccountState, AccountStatus, AuthKind, Mailbox, Priority, Tls
from concord.model.provider import provider_of
from concord.pipeline.account_check import LONGEST_PEM
from concord.pipeline.account_document import account_to_document
from concord.services.accounts import AccountChange
from concord.web.advice import advice_on, notes_on
from concord.web.api.story import Story, WithStory, facts_in
from concord.web.i18n import gettext
from concord.web.rest import Model

Text = Annotated[str, Field(max_length=300)]
Port = Annotated[int, Field(ge=1, le=65_535)]
Interval = Annotated[int, Field(ge=1, le=30 * 86_400)]
Folders = Annotated[list[Text], Field(min_length=1, max_length=1000)]
# Null is a value of these; of the others it says nothing.
_MAY_BE_NULL: Final = ("oauth_client", "authority", "ca_file", "ca_pem", "interval")


class AdviceOut(Model):
    """What its state means, and what to do, in the language of Accept-Language."""

    detail: str
    remedy: str


class NoteOut(Model):
    """What was found out about its server, in the language of Accept-Language."""

    code: AccountNote
    detail: str
    remedy: str


class AccountOut(Model):
    """A mailbox: what it is told, and how it does."""

    id: int
    name: str
    host: str
    port: int
    tls: Tls
    user: str
    auth: AuthKind
    oauth_client: str | None
    password: Literal["set", "missing", "none"] = Field(description="`none`: OAuth2 takes its place.")
    ca_file: str | None = Field(description="Null: this machine's authorities, or those of `ca_pem`.")
    ca_pem: str | None
    folders: list[str]
    start: str
    after: str
    interval: int | None = Field(description="Seconds; null: as poll.interval.")
    priority: Priority
    enabled: bool
    provider: str = Field(description="The key of /discovery/presets; `generic` for others.")
    state: AccountState
    failures: int = Field(description="Failed polls in a row.")
    last_success: datetime | None
    last_poll: datetime | None
    last_error: Story
    last_error_facts: dict[str, Any] | None = Field(description="What the last error is about, in parts.")
    last_error_code: str | None
    last_error_at: datetime | None
    next_try: datetime | None = Field(description="Null: at the next scheduled poll.")
    unaccounted: int | None = Field(description="Mails that the server had and Concord should have and had not.")
    reconciled_at: datetime | None
    advice: AdviceOut
    notes: list[NoteOut]

    @classmethod
    def of(cls, account: Account, status: AccountStatus) -> AccountOut:
        """As the API tells it."""
        advice, found = advice_on(account, status), notes_on(status)
        return cls(
            **account_to_document(account),
            id=account.id,
            password="none" if account.auth.is_oauth else "set" if account.secret else "missing",
            provider=provider_of(account.host).key,
            **{name: getattr(status, name) for name in _STATUS},
            last_error_facts=facts_in(status.last_error),
            advice=AdviceOut(detail=gettext(advice.sentence), remedy=gettext(advice.remedy)),
            notes=[
                NoteOut(code=note, detail=gettext(told.sentence), remedy=gettext(told.remedy)) for note, told in found
            ],
        )


_STATUS: Final = (
    *("state", "failures", "last_success", "last_poll", "last_error", "last_error_code", "last_error_at"),
    *("next_try", "unaccounted", "reconciled_at"),
)


class AccountDetail(AccountOut):
    """The same with what there is of it."""

    messages: int = Field(description="That Concord knows; counting ends at `counted_to`.")
    quarantined: int
    counted_to: int


class AccountChanged(Model):
    """The mailbox as it now is."""

    account: AccountOut
    schedule_follows: bool = Field(description="False: Redis was away, and the next sync will apply it.")

    @classmethod
    def of(cls, change: AccountChange, status: AccountStatus) -> AccountChanged:
        """As the API tells it."""
        return cls(account=AccountOut.of(change.account, status), schedule_follows=change.schedule.trouble is None)


class AccountRemoved(Model):
    """The mailbox is gone; its messages and events stay."""

    name: str
    schedule_follows: bool = Field(description="False: Redis was away, and the next sync will apply it.")


class AccountPatch(Model):
    """What is to be otherwise. What is left out stays, and so does the password."""

    host: Text | None = None
    port: Port | None = Field(default=None, description="Left out, it follows `tls`: 993 or 143.")
    tls: Tls | None = None
    in_clear: bool = Field(default=False, description="Must be said where `tls` is to be `none`.")
    user: Text | None = None
    auth: AuthKind | None = None
    oauth_client: Text | None = Field(default=None, description="By name, for `oauth2` and `oauth2-app`.")
    password: Annotated[SecretStr, Field(max_length=4096)] | None = None
    authority: Text | None = Field(
        default=None, description="A certificate authority of the folder `poll.authorities`, by its file's name."
    )
    ca_pem: Annotated[str, Field(max_length=LONGEST_PEM)] | None = Field(
        default=None, description="The certificates of an authority, in PEM form, in place of `authority`."
    )
    ca_file: Text | None = Field(
        default=None, description="A path, which only the command line may set; here it may be repeated or null."
    )
    folders: Folders | None = Field(
        default=None,
        description="`*` is every folder but All Mail, Drafts, Junk and Trash; name these to have them polled.",
    )
    start: Text | None = Field(default=None, description="`new`, `all` or `since:2026-01-31`.")
    after: Text | None = Field(default=None, description="`leave`, `seen`, `flag`, `move:FOLDER` or `delete`.")
    interval: Interval | None = Field(default=None, description="Seconds; null: as poll.interval.")
    priority: Priority | None = None
    enabled: bool | None = None
    mailbox: Mailbox | None = Field(
        default=None,
        description="Must be said where `host` or `user` changes: `same` keeps what was read, `another` begins now.",
    )

    @property
    def said(self) -> Mapping[str, Any]:
        """The account's written form, as far as it is said."""
        whole = self.model_dump(mode="json", exclude={"password", "in_clear", "mailbox"}, exclude_unset=True)
        return {name: value for name, value in whole.items() if value is not None or name in _MAY_BE_NULL}

    @property
    def opened(self) -> str | None:
        """The password, if one is given."""
        return self.password.get_secret_value() if self.password else None


class AccountIn(AccountPatch):
    """A new mailbox; what is left out is as usual."""

    name: Annotated[str, Field(max_length=100)]
    host: Text
    user: Text


class FolderOut(Model):
    """How far a folder has been read."""

    folder: str
    uidvalidity: int
    last_uid: int
    backfill_next: int | None = Field(description="Older mail is still to be fetched below this UID; null: none.")
    backfill_low: int
    begun_at: datetime
    checked_at: datetime | None


class TurnOut(WithStory):
    """A poll that found the mailbox in another state than the poll before it."""

    at: datetime
    state: AccountState
