"""One line of a table at a time, in columns that keep their width in any script."""

from __future__ import annotations

from rich.cells import set_cell_size

from deploy.demo.watch import Arrival

WIDTHS = {"time": 8, "account": 7, "from": 22, "subject": 30, "attachments": 26, "handlers": 18, "after": 6}


def heading() -> str:
    """The columns' names over a rule."""
    return line(list(WIDTHS)) + "\n" + "─" * (sum(WIDTHS.values()) + 2 * len(WIDTHS) - 2)


def row(arrival: Arrival) -> str:
    """One event."""
    data = arrival.data
    sender = data["from"][0] if data["from"] else {"name": "", "address": ""}
    urgent = "! " if data["priority"] == "high" else ""
    return line(
        [
            arrival.delivered.at.astimezone().strftime("%H:%M:%S"),
            data["account"],
            sender["name"] or sender["address"],
            urgent + data["subject"],
            ", ".join(file["name"] for file in data["attachments"]) or "-",
            ", ".join(_told(delivery.handler, delivery.state) for delivery in reversed(arrival.deliveries)) or "-",
            f"{arrival.seconds:.1f} s",
        ]
    )


def line(texts: list[str]) -> str:
    """Cut or padded to the columns, without what a terminal would take for a command."""
    cells = zip(texts, WIDTHS.values(), strict=True)
    return "  ".join(set_cell_size(_printable(text), width) for text, width in cells).rstrip()


def _told(handler: str, state: str) -> str:
    return handler if state == "delivered" else f"{handler} ({state})"


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "·" for character in text)
