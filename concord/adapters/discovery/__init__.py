"""From a mail address to its IMAP server: who may know is asked, all at once and for seconds only."""

from concord.adapters.discovery.search import Autodiscovery

__all__ = ["Autodiscovery"]
