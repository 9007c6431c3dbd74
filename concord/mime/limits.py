"""How much of a mail is taken apart. What lies beyond is named as a defect and stays in the archived original."""

from __future__ import annotations

from typing import Final

# Real mails have been seen with a dozen levels (forwards of forwards); each level costs one more pass over its octets.
DEPTH: Final = 24
# A mailing list's digest holds a few hundred; each part becomes an attachment with its own object in the archive.
PARTS: Final = 1_000
# Long Received and ARC chains reach 200.
HEADERS: Final = 1_000
HEADER_BLOCK: Final = 2 * 1024 * 1024
# Room for some 3,000 recipients in one header.
HEADER_VALUE: Final = 128 * 1024
ADDRESSES: Final = 2_000
REFERENCES: Final = 1_000
PARAMETERS: Final = 200
# Longer file names are refused by most file systems (255 octets); some room is left for what a program adds.
FILENAME: Final = 200
