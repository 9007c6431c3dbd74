"""The handler that posts each event to a URL, signed, in the format of Standard Webhooks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Annotated, Final

from pydantic import Field, field_validator

from concord.errors import HandlerError, HandlerRefusedError
from concord.handlers.body import fit
from concord.handlers.endpoint import Answer, Endpoint, parse_url
from concord.handlers.options import Options
from concord.handlers.signature import Signer, identify
from concord.handlers.tools import HandlerTools
from concord.ports import Clock, Consignment

CONTENT_TYPE: Final = "application/cloudevents+json"
LONGEST_WAIT: Final = 3600
SHOWN: Final = 200

# What the connection and the signature need to be as they are.
_OURS: Final = {"host", "connection", "content-length", "content-type", "transfer-encoding", "user-agent", "expect"}
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE: Final = re.compile(r"[\t\x20-\x7e\xa0-\xff]*")


class WebhookOptions(Options):
    """`headers` are kept and shown in clear: what must stay secret is the signing secret, kept elsewhere."""

    url: str
    headers: dict[str, str] = Field(default_factory=dict)
    # A delivery's claim lasts five minutes, and a call must end well within it.
    timeout: Annotated[float, Field(gt=0, le=120)] | None = None

    @field_validator("url")
    @classmethod
    def _callable(cls, url: str) -> str:
        parse_url(url)
        return url

    @field_validator("headers")
    @classmethod
    def _sendable(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
                raise ValueError("a header cannot be sent: its name or value has characters that HTTP forbids", name)
            if name.lower() in _OURS or name.lower().startswith("webhook-"):
                raise ValueError("a header is set by Concord itself", name)
        return headers


class WebhookHandler:
    """Posts; 2xx alone is success."""

    def __init__(self, options: WebhookOptions, tools: HandlerTools, signer: Signer | None) -> None:
        self._headers = options.headers
        self._signer = signer
        self._limit = tools.webhook.max_body_bytes
        self._clock = tools.clock
        self._endpoint = Endpoint(tools, options.url, timeout=options.timeout)

    def deliver(self, consignment: Consignment) -> Mapping[str, object]:
        load = fit(consignment.event, consignment.document, self._limit)
        headers = signed(load.document, consignment.id, self._signer, self._clock)
        answer = self._endpoint.post(load.document, {**self._headers, "content-type": CONTENT_TYPE, **headers})
        judge(answer, self._clock())
        facts: dict[str, object] = {"host": answer.host, "status": answer.status}
        return facts | ({"dropped": list(load.dropped)} if load.dropped else {})


def signed(body: bytes, key: str, signer: Signer | None, clock: Clock) -> dict[str, str]:
    """The headers that name the message, and sign it where there is a secret."""
    timestamp = int(clock().timestamp())
    return signer.headers(key, timestamp, body) if signer else identify(key, timestamp)


def judge(answer: Answer, now: datetime) -> None:
    """Return if the receiver took the event. HandlerRefusedError for 410, which says that it never will."""
    if answer.accepted:
        return
    if answer.status == 410:  # noqa: PLR2004 - Gone
        raise HandlerRefusedError("gone", host=answer.host, status=answer.status)
    raise HandlerError(
        "not_accepted",
        host=answer.host,
        status=answer.status,
        answer=_shown(answer.body),
        retry_after=_asked_wait(answer, now),
    )


def _asked_wait(answer: Answer, now: datetime) -> float | None:
    """The seconds a receiver under load asks for (RFC 9110 section 10.2.3), up to an hour."""
    asked = answer.headers.get("retry-after", "").strip()
    if answer.status not in (429, 503) or not asked:
        return None
    if asked.isdecimal():
        return float(min(int(asked[:9]), LONGEST_WAIT))
    try:
        moment = parsedate_to_datetime(asked)
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return min(max((aware - now).total_seconds(), 0.0), float(LONGEST_WAIT))
    except (ValueError, TypeError, IndexError, OverflowError):
        # What is no date, or one that no clock will ever show.
        return None


def _shown(body: bytes) -> str:
    """The beginning of an answer, fit for one line."""
    return " ".join(body[: 4 * SHOWN].decode("utf-8", "replace").split())[:SHOWN]
