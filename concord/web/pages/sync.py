"""The one call that other programs have used ever since: making the schedule equal to the mailboxes (U6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from pydantic import Field

from concord.model.user import Permission
from concord.ports import SyncStats
from concord.services import schedule
from concord.web.language import Language, preferred
from concord.web.rest import Model, needs
from concord.web.visitor import Parts, Visitor, api

# Programs compare them: they are part of the interface, not of the catalogue.
MESSAGES: Final[Mapping[Language, str]] = {
    Language.CHINESE: "邮件任务同步完成",
    Language.ENGLISH: "Mail tasks are synchronised",
}
_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    401: {"description": "No token, or a wrong, expired or revoked one."},
    403: {"description": "The token has not the scope 'sync'."},
    503: {"description": "Redis or the database is away."},
}
router = APIRouter(tags=["Workers"])
Syncer = Annotated[Visitor, Depends(api(Permission.SYNC))]


class Stats(Model):
    """What the sync changed, in mailboxes."""

    added: int
    removed: int
    updated: int
    total: int

    @classmethod
    def of(cls, stats: SyncStats) -> Stats:
        """As the API tells it."""
        return cls(added=stats.added, removed=stats.removed, updated=stats.updated, total=stats.total)


class Synced(Model):
    """The answer."""

    success: bool = True
    message: str = Field(description="In the language of Accept-Language, zh-CN or en; zh-CN without one.")
    stats: Stats


@router.post("/admin/workers/sync-email-tasks", openapi_extra=needs(Permission.SYNC), responses=_RESPONSES)
def sync_email_tasks(request: Request, me: Syncer, parts: Parts) -> Synced:
    """Make the schedule equal to the mailboxes in the database. Doing it twice changes nothing."""
    accept = request.headers.get("accept-language")
    language = preferred(accept) if accept else Language.CHINESE
    stats = schedule.sync(parts, by=me.caller)
    return Synced(message=MESSAGES[language], stats=Stats.of(stats))
