"""Which pages are measured: all that need no more than their address, lists that are narrowed, one of each thing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import httpx

from concord.bootstrap import Concord
from concord.model.listing import DeliveriesWanted, EventsWanted, Mark, MessagesWanted, RunsWanted, View
from concord.model.message import MessageState
from concord.ports import MessageFilter
from concord.web.app import make_app
from concord.web.lists import mark
from tests.bench.month import OPENED
from tests.web_world import every_route

OVERVIEW: Final = "/admin"
# Streams, what redirects, what asks others over the network, and the whole audit as one file.
_NO_PAGES: Final = re.compile(
    r".*/live|/admin/(login|flower|oauth/callback|settings/accounts|settings/find)|/api/v1/(audit/export|service/log)"
)
_ASKED: Final = {
    "/admin/settings/form": "?preset=gmail",
    "/api/v1/numbers": "?span=7d&series=mail.archived&series=lag.p95",
}
_TEAM: Final = "team007"
_FRAME: Final = re.compile(r'<iframe[^>]* src="([^"]+)"')
Places = dict[str, Sequence[str]]
"""By what each is: addresses that are asked in turn."""


def places(concord: Concord, visitor: httpx.Client) -> Places:
    """All of them."""
    plain = {path: (path + _ASKED.get(path, ""),) for path in _without_parameters(concord)}
    return {**plain, **{f"{path}  {query}": (f"{path}?{query}",) for path, query in _narrowed()}, **_deep(concord)} | (
        _things(concord, visitor)
    )


def _without_parameters(concord: Concord) -> list[str]:
    paths = {route.path for route in every_route(make_app(concord)) if "GET" in (route.methods or ())}
    pages = (path for path in paths if path.startswith(("/admin", "/api/")) and "{" not in path)
    return sorted(path for path in pages if not _NO_PAGES.fullmatch(path))


def _narrowed() -> list[tuple[str, str]]:
    week = (datetime.now(UTC) - timedelta(days=7)).date().isoformat()
    return [
        *(("/admin", f"span={span}") for span in ("7d", "30d")),
        ("/admin/messages", f"account={_TEAM}"),
        ("/admin/messages", "state=quarantined"),
        ("/admin/messages", "state=skipped"),
        ("/admin/messages", f"since={week}"),
        ("/admin/messages", f"account={_TEAM}&state=quarantined"),
        ("/admin/messages", "q=invoice"),
        ("/admin/messages", "q=xyzzy-plugh"),
        ("/admin/messages", f"q={'0' * 64}"),
        ("/admin/events", f"account={_TEAM}"),
        ("/admin/deliveries", "state=dead"),
        ("/admin/deliveries", "handler=old-crm"),
        ("/admin/deliveries", "state=delivered"),
        ("/admin/deliveries", f"account={_TEAM}"),
        ("/admin/workflows", "state=failed"),
        ("/admin/audit", "actor=carol"),
        ("/admin/audit", "subject=message+0"),
    ]


def _deep(concord: Concord) -> Places:
    """Pages in the middle of a list."""
    lists, then = concord.lists, datetime.now(UTC) - timedelta(days=15)
    half = Mark(then, 0)
    found = {
        "/admin/messages": lists.messages(MessagesWanted(), View(before=half)).older,
        "/admin/events": lists.events(EventsWanted(), View(before=Mark(then, UUID(int=0)))).older,
        "/admin/deliveries": lists.deliveries(DeliveriesWanted(), View(before=half)).older,
        "/admin/workflows": lists.runs(RunsWanted(), View(before=half)).older,
    }
    return {f"{path}  half-way down": (f"{path}?before={mark(place)}",) for path, place in found.items() if place}


def _things(concord: Concord, visitor: httpx.Client) -> Places:
    opened = concord.ledger.search(MessageFilter(state=MessageState.PROCESSED, limit=OPENED))
    of = [f"/admin/messages/{message.id}" for message in opened]
    quarantined = concord.ledger.search(MessageFilter(state=MessageState.QUARANTINED, limit=10))
    runs = concord.lists.runs(RunsWanted(), View(limit=20)).items
    accounts = concord.accounts.all()[:20]
    return {
        "a message, its mail read": of,
        "  and the frame of its HTML": [found[1] for path in of if (found := _FRAME.search(visitor.get(path).text))],
        "a message in quarantine": [f"/admin/messages/{message.id}" for message in quarantined],
        "an event": [f"/admin/events/{message.event_id}" for message in opened],
        "a workflow run": [f"/admin/workflows/{one.run.id}" for one in runs],
        "a mailbox": [f"/admin/settings/accounts/{account.id}" for account in accounts],
        "a mailbox's form": [f"/admin/settings/accounts/{account.id}/edit" for account in accounts],
    }
