"""`concord account`: the mailboxes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from concord.cli import account_views, password
from concord.cli.account_discover import discover_server
from concord.cli.account_import import import_accounts
from concord.cli.identity import caller
from concord.cli.options import AccountName, Json
from concord.cli.output import emit, say, shown, verdict, warn
from concord.cli.session import here, is_watched
from concord.cli.sync import tell_trouble
from concord.errors import UsageError
from concord.model.account import Account, AuthKind, Mailbox, Priority, Tls
from concord.services import accounts
from concord.wording import english

if TYPE_CHECKING:
    from concord.ports import CheckStep

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Mailboxes: what to poll, and how it goes.")
app.command("import")(import_accounts)
app.command("discover")(discover_server)

_Host = Annotated[str, typer.Option("--host", help="The IMAP server's name or address.")]
_Port = Annotated[int | None, typer.Option("--port", help="Usually left out: 993 with implicit TLS, else 143.")]
_User = Annotated[str, typer.Option("--user", help="The login name, often the whole mail address.")]
_PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input; at a terminal it is asked for.")
]
_Tls = Annotated[Tls, typer.Option("--tls", help="How the connection is protected; 'none' only if said here.")]
_CaFile = Annotated[
    str | None, typer.Option("--ca-file", metavar="FILE", help="The server's own certificate authority, in PEM form.")
]
_Folders = Annotated[
    list[str] | None,
    typer.Option("--folder", help="A folder to poll; may be repeated. '*' is all but All Mail, Drafts, Junk, Trash."),
]
_Start = Annotated[
    str,
    typer.Option("--start", metavar="new|all|since:DATE", help="Which mail to begin with; new: received from now on."),
]
_Interval = Annotated[int | None, typer.Option("--interval", help="Seconds between polls; else poll.interval.")]
_After = Annotated[
    str,
    typer.Option(
        "--after", metavar="leave|seen|flag|move:FOLDER|delete", help="What is done on the server with processed mail."
    ),
]
_Auth = Annotated[
    AuthKind,
    typer.Option(
        "--auth", help="oauth2: sign in afterwards with 'concord oauth login'; oauth2-app: the client's own right."
    ),
]
_OAuthClient = Annotated[
    str | None, typer.Option("--oauth-client", metavar="NAME", help="As 'concord oauth client list' has it.")
]
_Priority = Annotated[Priority, typer.Option("--priority", help="How urgent its mail is, unless mail or rules differ.")]


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="A name of your choice.")],
    host: _Host,
    user: _User,
    port: _Port = None,
    password_stdin: _PasswordStdin = False,
    auth: _Auth = AuthKind.PASSWORD,
    oauth_client: _OAuthClient = None,
    tls: _Tls = Tls.IMPLICIT,
    ca_file: _CaFile = None,
    folder: _Folders = None,
    start: _Start = "new",
    interval: _Interval = None,
    after: _After = "leave",
    priority: _Priority = Priority.NORMAL,
    disabled: Annotated[bool, typer.Option("--disabled", help="Keep it, but do not poll it yet.")] = False,
) -> None:
    """Add a mailbox. Its password is asked for, or read with --password-stdin, and kept encrypted."""
    given: dict[str, Any] = {
        "name": name,
        "host": host,
        "port": port,
        "user": user,
        "auth": auth,
        "oauth_client": oauth_client,
        "tls": tls,
        "ca_file": _absolute(ca_file),
    }
    given |= {"folders": folder or None, "start": start, "interval": interval, "after": after, "priority": priority}
    account = accounts.written(
        {key: value for key, value in given.items() if value is not None} | {"enabled": not disabled}
    )
    # Before a password is asked for.
    accounts.refuse_taken(here(), name)
    here().sealing()
    secret = None if auth.is_oauth else password.take("password", name, from_stdin=password_stdin)
    change = accounts.add(here(), account, secret, by=caller())
    _warn_of_plain(account)
    tell_trouble(change.schedule)
    rhythm = account_views.rhythm(account, here().poll_interval)
    say(f"Account '{name}' is added: {account_views.server(account)}. {rhythm}")
    if auth is AuthKind.OAUTH2:
        say(f"Sign in: concord oauth login {name}, or on its page at /admin/settings")
    else:
        say(f"Try it: concord account test {name}")


@app.command()
def edit(
    name: AccountName,
    host: Annotated[str | None, typer.Option("--host")] = None,
    user: Annotated[str | None, typer.Option("--user")] = None,
    port: _Port = None,
    password_stdin: _PasswordStdin = False,
    auth: Annotated[AuthKind | None, typer.Option("--auth")] = None,
    oauth_client: _OAuthClient = None,
    tls: Annotated[Tls | None, typer.Option("--tls")] = None,
    ca_file: Annotated[str | None, typer.Option("--ca-file", metavar="FILE", help="'' takes it away.")] = None,
    folder: _Folders = None,
    start: Annotated[str | None, typer.Option("--start", metavar="new|all|since:DATE")] = None,
    interval: Annotated[int | None, typer.Option("--interval", help="Seconds; 0 goes back to poll.interval.")] = None,
    after: Annotated[str | None, typer.Option("--after", metavar="leave|seen|flag|move:FOLDER|delete")] = None,
    priority: Annotated[Priority | None, typer.Option("--priority")] = None,
    same_mailbox: Annotated[
        bool, typer.Option("--same-mailbox", help="Host or user change, and the mailbox moved with its mail.")
    ] = False,
    another_mailbox: Annotated[
        bool, typer.Option("--another-mailbox", help="Host or user change to another mailbox: it begins now.")
    ] = False,
) -> None:
    """Change what is said of a mailbox; the rest stays. What was already polled is not polled again."""
    before = here().accounts.get(name)
    given: dict[str, Any] = {"host": host, "port": port, "user": user, "tls": tls, "ca_file": _absolute(ca_file)}
    given |= {
        "auth": auth,
        "oauth_client": oauth_client,
        "folders": folder or None,
        "start": start,
        "interval": interval or None,
        "after": after,
        "priority": priority,
    }
    said = {key: value for key, value in given.items() if value is not None}
    if not said and not password_stdin and interval is None:
        raise UsageError("nothing_to_change", account=name)
    said |= {"interval": None} if interval == 0 else {}
    # Before a password is asked for.
    mailbox = _which_mailbox(before, accounts.written(said, before), same=same_mailbox, another=another_mailbox)
    secret = password.take("password", name, from_stdin=True) if password_stdin else None
    change = accounts.edit(here(), name, said, password=secret, mailbox=mailbox, by=caller())
    _warn_of_plain(change.account)
    tell_trouble(change.schedule)
    say(f"Account '{name}' is changed: {account_views.server(change.account)}.")


@app.command("list")
def list_accounts(json: Json = False) -> None:
    """Show all mailboxes and how they do."""
    found, statuses, counts = here().accounts.all(), here().accounts.statuses(), here().ledger.counts()
    if json:
        emit([account_views.document(one, statuses[one.id], counts.get(one.name, {})) for one in found])
    elif not found:
        say("No accounts yet. Add one: concord account add NAME --host HOST --user USER")
    else:
        account_views.overview(found, statuses, counts)


@app.command()
def show(name: AccountName, json: Json = False) -> None:
    """Show one mailbox: settings, state, last error, folders."""
    account = here().accounts.get(name)
    status, counts = here().accounts.status(account.id), here().ledger.counts().get(name, {})
    cursors = here().accounts.cursors(account.id)
    if json:
        emit(account_views.document(account, status, counts) | {"cursors": list(cursors.values())})
    else:
        account_views.details(account, status, counts, cursors)


@app.command()
def enable(name: AccountName) -> None:
    """Poll it from now on."""
    _switch(name, enabled=True)


@app.command()
def disable(name: AccountName) -> None:
    """Do not poll it any more; its messages stay."""
    _switch(name, enabled=False)


@app.command()
def remove(
    name: AccountName,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; without a terminal nothing is asked.")] = False,
) -> None:
    """Forget a mailbox and its password. Its messages and events stay, and nothing changes on the server."""
    here().accounts.get(name)
    if not yes and is_watched():
        typer.confirm(f"Forget the account '{shown(name)}' and its password?", abort=True, err=True)
    tell_trouble(accounts.remove(here(), name, by=caller()))
    say(f"Account '{name}' is removed. Its messages stay: concord message list --account {name}")


@app.command()
def test(name: AccountName, json: Json = False) -> None:
    """Try to connect, step by step, and say what each step found. Reads no mail."""
    account = here().accounts.get(name)
    steps: list[CheckStep] = []
    for step in accounts.test(here(), account, by=caller()):
        steps.append(step)
        if not json:
            verdict(**_in_words(step))
    if json:
        emit([{**_in_words(step), "facts": step.facts} for step in steps])
    if not all(step.ok for step in steps):
        raise typer.Exit(1)


def _in_words(step: CheckStep) -> dict[str, Any]:
    """A step in words."""
    detail, todo = (english.sentence(step.error), english.remedy(step.error)) if step.error else (step.detail, "")
    return {"name": step.name, "ok": step.ok, "detail": detail, "cause": step.cause, "remedy": todo}


def _which_mailbox(before: Account, after: Account, *, same: bool, another: bool) -> Mailbox | None:
    """What a changed host or user means, as the options say it."""
    answer = Mailbox.SAME if same else Mailbox.ANOTHER if another else None
    if same and another:
        raise UsageError("mailbox_both", account=before.name)
    for mistake in accounts.mailbox_mistakes(before, after, answer):
        raise mistake.error
    return answer


def _absolute(ca_file: str | None) -> str | None:
    """The daemons work in another directory."""
    return str(Path(ca_file).absolute()) if ca_file else ca_file


def _warn_of_plain(account: Account) -> None:
    if account.tls is Tls.NONE:
        warn(f"'{account.name}' is polled without TLS: its password and mail cross the network in clear.")


def _switch(name: str, *, enabled: bool) -> None:
    tell_trouble(accounts.switch(here(), name, enabled=enabled, by=caller()).schedule)
    say(f"Account '{name}' is {'polled' if enabled else 'not polled any more'}.")
