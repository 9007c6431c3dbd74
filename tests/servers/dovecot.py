"""A private Dovecot: real IMAP (plain, STARTTLS, TLS) and LMTP on loopback, users made as they are asked for."""

from __future__ import annotations

import base64
import contextlib
import getpass
import grp
import os
import shutil
import smtplib
import subprocess
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Self

import imapclient
import psutil

from tests.servers.certificates import Certificates, Fault
from tests.servers.openid import OpenIdServer
from tests.servers.redis import free_port

BINARY = shutil.which("dovecot") or "/usr/sbin/dovecot"
TEMPLATE = Path(__file__).parents[2] / "deploy/demo/dovecot.conf.in"
START_SECONDS = 45.0
KEPT_DELIVERERS = 20


class Dovecot:
    """Starts, stops, comes back on the same ports with the same mail."""

    host = "localhost"

    def __init__(self, *, fault: Fault = Fault.NONE, tokens: OpenIdServer | None = None, extra: str = "") -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="concord-dovecot-"))
        # Mail belongs to another user, who must be able to pass through.
        self.folder.chmod(0o755)
        self.certificates = Certificates(self.folder / "tls", fault)
        self.ca_file = str(self.certificates.ca_file)
        self.imap_port, self.imaps_port, self.lmtp_port = free_port(), free_port(), free_port()
        self.passwords: dict[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._deliverers: dict[str, imapclient.IMAPClient] = {}
        self._tokens = tokens
        self._extra = extra  # lines of configuration
        self._config = self.folder / "dovecot.conf"
        self._log = self.folder / "dovecot.log"
        self._prepare()

    # Users and mail.

    def add_user(self, name: str, password: str = "sesame") -> str:  # noqa: S107 - a test's password
        """A user with an empty mailbox, or a new password for one that is there; the name."""
        self.passwords[name] = password
        place = self.folder / "users" / name
        is_known = place.exists()
        # Written beside and renamed: Dovecot may be reading it.
        fresh = self.folder / "fresh-user"
        fresh.write_text(f"{name}:{{PLAIN.B64}}{_b64(password)}::::::\n", encoding="utf-8")
        fresh.chmod(0o644)
        fresh.rename(place)
        if is_known and self._process:
            self._wait_for_password(name)
        return name

    def deliver(
        self,
        user: str,
        raw: bytes,
        folder: str = "INBOX",
        *,
        flags: Sequence[str] = (),
        internal_date: datetime | None = None,
    ) -> int:
        """Put one mail into a folder, made if missing; its UID. The octets stay what they are (CRLF line ends)."""
        return self.append_many(user, [raw], folder, flags=flags, internal_date=internal_date)[0]

    def append_many(
        self,
        user: str,
        mails: Sequence[bytes],
        folder: str = "INBOX",
        *,
        flags: Sequence[str] = (),
        internal_date: datetime | None = None,
    ) -> list[int]:
        """Put many mails into a folder; their UIDs."""
        client = self._deliverer(user)
        if not client.folder_exists(folder):
            client.create_folder(folder)
        answers = [client.append(folder, raw, flags, internal_date) for raw in mails]
        return [int(answer.split(b"]")[0].split()[-1]) for answer in answers]

    def fill(self, user: str, mails: Sequence[bytes]) -> None:
        """Put many mails into INBOX as a delivery agent does: in seconds, where ten thousand APPENDs take minutes."""
        client = self._deliverer(user)
        client.select_folder("INBOX", readonly=True)  # makes the maildir
        client.unselect_folder()
        new = self.folder / "mail" / user / "inbox/new"
        owner = new.stat()
        for number, raw in enumerate(mails):
            draft = new.with_name("tmp") / f"{int(time.time())}.M{number}P{os.getpid()}.filled"
            draft.write_bytes(raw)
            os.chown(draft, owner.st_uid, owner.st_gid)
            draft.rename(new / draft.name)

    def deliver_lmtp(self, user: str, raw: bytes, folder: str = "") -> None:
        """Hand one mail in as a mail server would, which adds its own headers on the way."""
        local, at, domain = user.partition("@")
        detail = f"+{folder}" if folder else ""
        with smtplib.LMTP("127.0.0.1", self.lmtp_port) as lmtp:
            lmtp.sendmail("sender@example.com", [f"{local}{detail}{at}{domain}"], raw)

    def create_folder(self, user: str, folder: str, *, uses: Sequence[str] = ()) -> None:
        """Junk is the one folder with a special use: the configuration says so."""
        assert not uses or (folder, *uses) == ("Junk", "\\junk")
        self._deliverer(user).create_folder(folder)

    def rename_folder(self, user: str, folder: str, name: str) -> None:
        self._deliverer(user).rename_folder(folder, name)

    def flags(self, user: str, folder: str = "INBOX") -> dict[int, tuple[str, ...]]:
        r"""Every message's flags by UID, without \Recent, which comes and goes by itself."""
        client = self._deliverer(user)
        client.select_folder(folder, readonly=True)
        found = client.fetch(client.search(), ["FLAGS"])
        client.unselect_folder()
        return {
            uid: tuple(sorted(flag.decode() for flag in item[b"FLAGS"] if flag != b"\\Recent"))
            for uid, item in found.items()
        }

    def reset_uidvalidity(self, user: str, folder: str = "INBOX") -> None:
        """The folder gets a new UIDVALIDITY, and its messages new UIDs from 1, as after a restore from a backup."""
        self.kick(user)
        name = imapclient.imap_utf7.encode(folder).decode("ascii")
        place = self.folder / "mail" / user / ("inbox" if folder == "INBOX" else f"folders/{name}")
        for stale in [place / "dovecot-uidlist", *place.glob("dovecot.index*")]:
            stale.unlink(missing_ok=True)

    def kick(self, user: str) -> None:
        """End every session of a user, and wait until they are gone."""
        self._forget(user)
        deadline = time.monotonic() + START_SECONDS
        while user in self._doveadm("-f", "flow", "who", "-1").replace("=", " ").split():
            assert time.monotonic() < deadline, f"{user} is still logged in"
            self._doveadm("kick", user)
            time.sleep(0.02)

    # What the server saw.

    @property
    def raw_log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace") if self._log.exists() else ""

    def logins(self, user: str) -> int:
        """How often somebody logged in as this user."""
        return self.raw_log.count(f"Info: Login: user=<{user}>")

    # Life.

    def start(self) -> None:
        """Start, and wait until it answers. Starting a running server changes nothing."""
        if self._process is not None:
            return
        with (self.folder / "stderr.log").open("ab") as noise:
            self._process = subprocess.Popen([BINARY, "-F", "-c", str(self._config)], stdout=noise, stderr=noise)
        self._wait()

    def stop(self) -> None:
        """Stop, and wait until it is gone; every session is cut."""
        for user in list(self._deliverers):
            self._forget(user)
        if self._process is None:
            return
        children = psutil.Process(self._process.pid).children(recursive=True)
        self._process.terminate()
        self._process.wait(timeout=90)
        self._process = None
        # The master does not wait for its children, and those serve their sessions for a while longer.
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
                while child.status() != psutil.STATUS_ZOMBIE:
                    time.sleep(0.005)

    def close(self) -> None:
        """Stop for good and remove what lies on disk."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _deliverer(self, user: str) -> imapclient.IMAPClient:
        if user not in self._deliverers:
            if len(self._deliverers) >= KEPT_DELIVERERS:
                self._forget(next(iter(self._deliverers)))
            client = imapclient.IMAPClient("127.0.0.1", self.imap_port, ssl=False, timeout=20)
            client._imap.debug = 0
            client.plain_login(user, self.passwords[user])
            self._deliverers[user] = client
        return self._deliverers[user]

    def _doveadm(self, *words: str) -> str:
        done = subprocess.run(["doveadm", "-c", str(self._config), *words], check=False, capture_output=True, text=True)
        return done.stdout

    def _forget(self, user: str) -> None:
        if client := self._deliverers.pop(user, None):
            client.shutdown()

    def _wait_for_password(self, user: str) -> None:
        """Dovecot looks for a changed file once a second only."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            try:
                with imapclient.IMAPClient("127.0.0.1", self.imap_port, ssl=False, timeout=5) as client:
                    client.plain_login(user, self.passwords[user])
            except imapclient.IMAPClient.Error:
                time.sleep(0.05)
            else:
                return
        raise AssertionError(f"the new password of {user} is not taken")

    def _prepare(self) -> None:
        mail_user = "mail" if os.geteuid() == 0 else getpass.getuser()
        for name in ("run", "state", "mail", "users"):
            (self.folder / name).mkdir()
        if os.geteuid() == 0:
            shutil.chown(self.folder / "mail", mail_user, mail_user)
        # A file for each user: in a file it knows, Dovecot looks for changes once a second only.
        text = TEMPLATE.read_text(encoding="utf-8").replace("@STATE@/users", "@STATE@/users/%u")
        for word, value in self._words(mail_user).items():
            text = text.replace(f"@{word}@", value)
        text += "namespace inbox {\n  mailbox Junk {\n    special_use = \\Junk\n  }\n}\n"
        if self._tokens:
            text += self._token_logins(self._tokens)
        self._config.write_text(text + self._extra, encoding="utf-8")

    def _token_logins(self, provider: OpenIdServer) -> str:
        """XOAUTH2 and OAUTHBEARER, each token shown to the provider that gave it (RFC 7662)."""
        said = {
            "introspection_mode": "post",
            "introspection_url": f"{provider.issuer}/introspect",
            "username_attribute": "email",
            "active_attribute": "active",
            "active_value": "true",
            "tls_ca_cert_file": str(provider.ca_file),
        }
        file = self.folder / "oauth2.conf"
        file.write_text("".join(f"{name} = {value}\n" for name, value in said.items()), encoding="utf-8")
        return (
            "auth_mechanisms = plain login xoauth2 oauthbearer\n"
            f"passdb {{\n  driver = oauth2\n  mechanisms = xoauth2 oauthbearer\n  args = {file}\n}}\n"
        )

    def _words(self, mail_user: str) -> dict[str, str]:
        me, mine = getpass.getuser(), grp.getgrgid(os.getegid()).gr_name
        privileged = os.geteuid() == 0
        return {
            "STATE": str(self.folder),
            "NAME": self.folder.name,
            "CERTIFICATE": str(self.certificates.certificate),
            "KEY": str(self.certificates.key),
            "INTERNAL_USER": "dovecot" if privileged else me,
            "INTERNAL_GROUP": "dovecot" if privileged else mine,
            "LOGIN_USER": "dovenull" if privileged else me,
            "LOGIN_CHROOT": "login" if privileged else "",
            "ANVIL_CHROOT": "empty" if privileged else "",
            "MAIL_USER": mail_user,
            "MAIL_GROUP": mail_user if privileged else mine,
            "IMAP_PORT": str(self.imap_port),
            "IMAPS_PORT": str(self.imaps_port),
            "LMTP_PORT": str(self.lmtp_port),
        }

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            assert self._process is not None
            if self._process.poll() is not None:
                break
            try:
                imapclient.IMAPClient("127.0.0.1", self.imap_port, ssl=False, timeout=2).logout()
            except (OSError, imapclient.IMAPClient.Error):
                time.sleep(0.02)
            else:
                return
        raise AssertionError((self.folder / "stderr.log").read_text(encoding="utf-8") + self.raw_log)


def _b64(secret: str) -> str:
    return base64.b64encode(secret.encode()).decode("ascii")
