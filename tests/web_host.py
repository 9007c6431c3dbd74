"""A host's daemons in memory behind an admin site."""

from __future__ import annotations

from pathlib import Path

from concord.bootstrap import Concord
from concord.services.jobs import Job
from concord.web.jobs import jobs_in
from tests.fakes.host import MemoryHost
from tests.fakes.queue import MemorySchedule
from tests.web_world import Browser


def hosted(concord: Concord, folder: Path) -> MemoryHost:
    """The site's daemons are those of a host in memory: they work as soon as they run. The audit is the site's own."""
    host = MemoryHost(folder, audit=concord.audit)
    vars(concord).update(
        manager=host.manager,
        supervisor=host.supervisor,
        pulse=host.pulse,
        queue=host.queue,
        workers=host.workers,
        schedule=MemorySchedule(),
    )
    return host


def ended(browser: Browser) -> Job:
    """The newest job of the site that this browser uses, once it has ended."""
    jobs = jobs_in(browser.site)
    job = jobs.recent()[0]
    assert jobs.wait(job, timeout=10)
    return job
