"""`make bench`: every measurement, one after the other; `python -m tests.bench.mail` or `.pages` makes one alone."""

from __future__ import annotations

from concord import log
from tests.bench import mail, pages, upgrade
from tests.bench.table import say

if __name__ == "__main__":
    log.configure("pretty", "warning")
    mail.measure()
    say("")
    pages.measure(pages.MILLION)
    say("")
    upgrade.measure(upgrade.MILLION)
