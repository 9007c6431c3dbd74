"""What can be wrong with a mail, in words that stay the same; they travel in events, so a word is never re-used."""

from __future__ import annotations

from enum import StrEnum


class Defect(StrEnum):
    """One kind of damage or suspicion. A defect says that the reading is a repair, not that the mail is lost."""

    EMPTY = "empty"
    BARE_CR = "bare-cr"  # lines ended with CR alone
    NUL_BYTES = "nul-bytes"
    HEADERS_MISSING = "headers-missing"
    HEADER_MALFORMED = "header-malformed"
    HEADER_SEPARATOR_MISSING = "header-separator-missing"  # the body follows the headers without an empty line
    HEADER_TOO_LONG = "header-too-long"
    HEADER_DUPLICATE = "header-duplicate"  # a header that may stand once stands twice; the first one counts
    TOO_MANY_HEADERS = "too-many-headers"
    CONTROL_CHARACTERS = "control-characters"  # in a header, where they could fake another
    ENCODED_WORD_MALFORMED = "encoded-word-malformed"
    CHARSET_UNKNOWN = "charset-unknown"
    CHARSET_GUESSED = "charset-guessed"
    UNDECODABLE_BYTES = "undecodable-bytes"
    FROM_MISSING = "from-missing"
    ADDRESS_MALFORMED = "address-malformed"
    TOO_MANY_ADDRESSES = "too-many-addresses"
    TOO_MANY_REFERENCES = "too-many-references"
    DATE_MISSING = "date-missing"
    DATE_MALFORMED = "date-malformed"
    DATE_REPAIRED = "date-repaired"
    CONTENT_TYPE_MALFORMED = "content-type-malformed"
    PARAMETER_MALFORMED = "parameter-malformed"
    UNSAFE_FILENAME = "unsafe-filename"
    BOUNDARY_MISSING = "boundary-missing"  # a multipart that names no boundary
    BOUNDARY_NOT_FOUND = "boundary-not-found"  # a multipart whose boundary is nowhere in it
    CLOSING_BOUNDARY_MISSING = "closing-boundary-missing"  # usually a mail that was cut off
    TOO_DEEP = "too-deep"
    TOO_MANY_PARTS = "too-many-parts"
    TRANSFER_ENCODING_UNKNOWN = "transfer-encoding-unknown"
    BASE64_MALFORMED = "base64-malformed"
    QUOTED_PRINTABLE_MALFORMED = "quoted-printable-malformed"
    UUENCODE_MALFORMED = "uuencode-malformed"
    TEXT_TRUNCATED = "text-truncated"  # in the event only; the whole is in the archive
    HTML_TRUNCATED = "html-truncated"


Defects = set[Defect]
"""What a reader adds to as it goes."""
