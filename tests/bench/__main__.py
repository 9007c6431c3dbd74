"""`make bench`: every measurement, one after the other; `python -m tests.bench.mail` or `.signin` makes one alone."""

from __future__ import annotations

from concord import log
from tests.bench import mail, pages, signin, upgrade
from tests.bench.table import say

if __name__ == "__main__":
    log.configure("pretty", "warning")
    mail.measure()
    say("")
    pages.measure(pages.MILLION)
    say("")
    upgrade.measure(upgrade.MILLION)
    say("")
    signin.measure()
