"""Mailboxes over IMAP (RFC 3501, RFC 9051): sessions that are kept between polls, and errors an operator can act on."""

from concord.adapters.imap.sources import ImapSources

__all__ = ["ImapSources"]
