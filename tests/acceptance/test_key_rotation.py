"""The key is rotated while mail and signed webhooks flow: nothing fails, no daemon is restarted (A3; issue 9, B)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.conftest import add_mailbox
from tests.key_rotation import Flow
from tests.servers.dovecot import Dovecot
from tests.servers.redis import RedisServer
from tests.servers.stack import Stack
from tests.servers.webhook import WebhookReceiver

DAEMONS = ("beat", "poll", "mail", "deliver")


@pytest.fixture(params=["sqlite", "postgresql"])
def flowing(request: pytest.FixtureRequest, tmp_path: Path, own_redis: RedisServer) -> Iterator[Stack]:
    """Webhooks may go to this machine; nothing started yet."""
    url = request.getfixturevalue("postgres_url") if request.param == "postgresql" else None
    with Stack(
        tmp_path, redis_url=own_redis.url, database_url=url, webhook={"allow_networks": ["127.0.0.0/8"]}
    ) as stack:
        yield stack


def start_as_systemd_does(stack: Stack) -> None:
    """LoadCredential: each daemon gets a copy of the credentials, which never changes."""
    copy = stack.folder / "run-credentials"
    copy.mkdir(mode=0o700)
    for file in (stack.folder / "credentials").iterdir():
        shutil.copy(file, copy / f"concord_{file.name}")
    own = stack.env
    stack.env = {name: value for name, value in own.items() if name != "CONCORD_CREDENTIALS"}
    stack.env["CREDENTIALS_DIRECTORY"] = str(copy)
    stack.start(*DAEMONS)
    stack.env = own


def test_daemons_with_a_copy_of_the_old_key_fail_nothing_while_it_is_rotated_twice(
    flowing: Stack, dovecot: Dovecot, mailbox_user: str, receiver: WebhookReceiver
) -> None:
    add_mailbox(flowing, dovecot, mailbox_user)
    start_as_systemd_does(flowing)
    pids = [flowing.pid(name) for name in DAEMONS]

    with Flow(flowing, dovecot, mailbox_user, receiver) as flow:
        assert flow.brings(3), flowing.log("deliver")
        for _ in range(2):
            flowing.cli("secrets", "rotate")
            assert flow.brings(3), flowing.log("deliver")

    flow.assert_nothing_failed()
    assert [flowing.pid(name) for name in DAEMONS] == pids
    assert all(flowing.is_running(name) for name in DAEMONS)
    assert not [name for name in DAEMONS if "secret_key" in flowing.log(name)]


def test_daemons_that_restart_at_once_have_the_new_key_and_end_the_old_one(
    flowing: Stack, dovecot: Dovecot, mailbox_user: str, receiver: WebhookReceiver
) -> None:
    """Under supervisord they read the file itself, and no restart is needed for that either."""
    add_mailbox(flowing, dovecot, mailbox_user)
    flowing.start(*DAEMONS)

    with Flow(flowing, dovecot, mailbox_user, receiver) as flow:
        assert flow.brings(3), flowing.log("deliver")
        told = flowing.cli("secrets", "rotate").stdout
        flowing.kill("deliver")
        flowing.start("deliver")
        assert flow.brings(3), flowing.log("deliver")

    flow.assert_nothing_lost()
    assert "Until" not in told
    status = json.loads(flowing.cli("secrets", "status", "--json").stdout)
    assert (status["phase"], status["older_secrets"], status["old_key_opens"]) == ("done", 0, False)
    running = {one["daemon"].partition("@")[0]: one["restarted"] for one in status["daemons"] if one["running"]}
    assert running == {"poll": True, "mail": True, "deliver": True}
