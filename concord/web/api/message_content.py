"""What mails say: read whole, as they came, and their attachments. Each reading is written into the audit."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import Depends, Path
from pydantic import Field
from starlette.responses import StreamingResponse

from concord.model.mail import Address
from concord.model.user import Permission
from concord.services import mail
from concord.services.mail import ShownMail
from concord.web.api.mail_models import Id
from concord.web.downloads import saved
from concord.web.rest import ROOT, Model, api_router, needs, not_found
from concord.web.visitor import Parts, Visitor, api

router = api_router("messages", tag="Mail")

MailReader = Annotated[Visitor, Depends(api(Permission.MAIL))]
Number = Annotated[int, Path(ge=0, le=10_000, description="Its place in the mail, from 0.")]
OCTETS: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "A file to be saved.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    },
    **not_found(),
}


class PersonOut(Model):
    """An address of a header."""

    name: str
    address: str


class PartOut(Model):
    """An attachment."""

    number: int
    name: str
    content_type: str = Field(description="What the mail says of it; nobody has looked.")
    size: int = Field(description="Octets.")
    content_id: str | None
    inline: bool
    href: str = Field(description="Where its octets are.")


class ContentOut(Model):
    """A mail as a person reads it. All of it is a stranger's: never make its HTML part of a page."""

    from_: list[PersonOut] = Field(serialization_alias="from")
    to: list[PersonOut]
    cc: list[PersonOut]
    bcc: list[PersonOut]
    reply_to: list[PersonOut]
    subject: str
    date: datetime | None
    message_id: str | None
    text: str | None
    html: str | None
    attachments: list[PartOut]
    headers: list[tuple[str, str]] = Field(description="All of them, in order, decoded.")
    defects: list[str] = Field(description="What is wrong with the mail, in stable words.")

    @classmethod
    def of(cls, shown: ShownMail) -> ContentOut:
        """As the API tells it."""
        place = f"{ROOT}/messages/{shown.message.id}/attachments"
        people = {name: _people(getattr(shown, name)) for name in ("from_", "to", "cc", "bcc", "reply_to")}
        return cls(
            **people,
            subject=shown.subject,
            date=shown.date,
            message_id=shown.message_id,
            text=shown.text,
            html=shown.html,
            attachments=[
                PartOut(
                    number=part.number,
                    name=part.name,
                    content_type=part.content_type,
                    size=part.size,
                    content_id=part.content_id,
                    inline=part.inline,
                    href=f"{place}/{part.number}",
                )
                for part in shown.parts
            ],
            headers=list(shown.headers),
            defects=list(shown.defects),
        )


@router.get("/{message_id}/content", openapi_extra=needs(Permission.MAIL), responses=not_found())
def read_message(message_id: Id, me: MailReader, parts: Parts) -> ContentOut:
    """The whole mail: people, text, HTML, attachments, headers. One that is too big to be read is had at `/raw`."""
    return ContentOut.of(mail.open_mail(parts, parts.ledger.get(message_id), by=me.caller))


@router.get(
    "/{message_id}/raw",
    response_class=StreamingResponse,
    openapi_extra=needs(Permission.MAIL),
    responses=OCTETS,
)
def read_raw(message_id: Id, me: MailReader, parts: Parts) -> StreamingResponse:
    """The octets as they came from the server: an .eml file."""
    return saved(mail.open_raw(parts, parts.ledger.get(message_id), by=me.caller), f"message-{message_id}.eml")


@router.get(
    "/{message_id}/attachments/{number}",
    response_class=StreamingResponse,
    openapi_extra=needs(Permission.MAIL),
    responses=OCTETS,
)
def read_attachment(message_id: Id, number: Number, me: MailReader, parts: Parts) -> StreamingResponse:
    """An attachment's octets, decoded."""
    part, octets = mail.open_part(parts, parts.ledger.get(message_id), number, by=me.caller)
    return saved(octets, part.name or f"attachment-{number}")


def _people(people: Iterable[Address]) -> list[PersonOut]:
    return [PersonOut(name=one.name, address=one.address) for one in people]
