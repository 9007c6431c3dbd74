"""Reading the STATUS answers to a LIST that asks for them (RFC 5819)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from imapclient.exceptions import ProtocolError
from imapclient.response_parser import parse_response

from concord.adapters.imap.fetch import grouped


def read_statuses(data: Sequence[object]) -> Iterator[tuple[bytes, dict[bytes, Any]]]:
    """Each folder's name, as on the wire, and its items. What cannot be understood is passed over."""
    for answer in grouped(data):
        try:
            parsed = parse_response(answer)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError, ProtocolError):
            continue
        match parsed:
            case (bytes() | int() as name, tuple() as items) if len(items) % 2 == 0:
                # A name of digits is read as a number.
                raw = name if isinstance(name, bytes) else str(name).encode()
                pairs = zip(items[::2], items[1::2], strict=True)
                yield raw, {item.upper(): value for item, value in pairs if isinstance(item, bytes)}
