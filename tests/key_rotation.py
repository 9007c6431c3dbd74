"""Mail and signed webhooks that flow while the key is rotated, and proof that the rotation cost none of them (A3)."""

from __future__ import annotations

import threading
from base64 import b64encode
from typing import Final, Self

from concord.handlers.signature import Signer
from concord.model.account import AccountState
from concord.model.delivery import Delivery, DeliveryState
from concord.model.rule import HandlerSpec, Match, Rule
from tests.factories import mail, sealed_for
from tests.servers.dovecot import Dovecot
from tests.servers.stack import Stack
from tests.servers.webhook import WebhookReceiver
from tests.waiting import eventually

SECRET: Final = "whsec_" + b64encode(b"a secret of 24 octets ok").decode()
PAUSE: Final = 0.3  # between two mails
MANY: Final = 10_000


class Flow:
    """Used as a context manager: a mail every moment, each to become one signed webhook."""

    def __init__(self, stack: Stack, dovecot: Dovecot, user: str, receiver: WebhookReceiver) -> None:
        self._stack = stack
        self._dovecot = dovecot
        self._user = user
        self._receiver = receiver
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send)
        self.sent: list[str] = []
        handler = HandlerSpec(name="crm", kind="webhook", options={"url": receiver.url()})
        stack.concord.rulebook.save_handler(sealed_for(stack.concord.vault, handler, SECRET))
        stack.concord.rulebook.save_rule(Rule(name="all", match=Match(account=("*",)), handlers=("crm",)))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stop.set()
        self._thread.join()

    def _send(self) -> None:
        while not self._stop.is_set():
            subject = f"Flowing {len(self.sent)}"
            self._dovecot.deliver(self._user, mail(subject))
            self.sent.append(subject)
            self._stop.wait(PAUSE)

    def brings(self, more: int) -> bool:
        """Whether so many more webhooks arrive."""
        before = len(self._receiver.received)
        return eventually(lambda: len(self._receiver.received) >= before + more, within=60)

    def assert_nothing_failed(self) -> None:
        """Each mail arrived, signed, at the first attempt; no account is blamed."""
        self.assert_nothing_lost()
        assert {(one.attempts, one.failures) for one in self._deliveries()} == {(1, 0)}
        assert {status.state for status in self._stack.concord.accounts.statuses().values()} == {AccountState.OK}

    def assert_nothing_lost(self) -> None:
        """Each mail arrived and is signed, whatever was killed meanwhile."""

        def have_arrived() -> bool:
            return {one.document["data"]["subject"] for one in self._receiver.received} >= set(self.sent)

        def are_settled() -> bool:
            return {one.state for one in self._deliveries()} == {DeliveryState.DELIVERED}

        assert eventually(have_arrived, within=60), [(one.state, one.error) for one in self._deliveries()]
        assert eventually(are_settled, within=60), [(one.state, one.error) for one in self._deliveries()]
        signer = Signer.parse(SECRET)
        for one in self._receiver.received:
            headers = signer.headers(one.headers["webhook-id"], int(one.headers["webhook-timestamp"]), one.body)
            assert one.headers["webhook-signature"] == headers["webhook-signature"]

    def _deliveries(self) -> list[Delivery]:
        return self._stack.concord.outbox.deliveries(handler="crm", limit=MANY)
