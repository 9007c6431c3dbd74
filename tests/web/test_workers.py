"""The page of the workers: how they do, moving them, adding and changing them (U1, W3, M4, M6)."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from concord.bootstrap import Concord
from concord.errors import DatabaseDownError, SupervisorDownError
from concord.manager.config import WorkerDocument
from concord.model.daemon import Activity
from concord.model.worker import WorkerLimits
from concord.services.jobs import JobState
from concord.web import live
from concord.web.worker_form import NUMBERS, TYPE_HELP
from concord.wording import english
from tests.fakes.host import ALICE, MemoryHost, write_worker
from tests.web_host import ended, hosted
from tests.web_world import Browser

LIST = "/admin/workers"


@pytest.fixture
def host(concord: Concord, tmp_path: Path) -> MemoryHost:
    return hosted(concord, tmp_path)


def test_every_daemon_is_listed_with_its_state(host: MemoryHost, carol: Browser) -> None:
    """U1."""
    host.manager.start("beat", by=ALICE)
    host.supervisor.failing["flower"] = ("no such port",)

    page = carol.get(LIST)

    assert page.status_code == 200
    for name in ("beat", "worker@poll", "worker@mail", "worker@deliver", "flower", "admin"):
        assert f'href="/admin/workers/{name}"' in page.text
    assert "Not all of the mail service works." in page.text
    assert "Mail service (Celery)" in page.text


def test_what_one_may_not_do_is_not_offered_and_refused(host: MemoryHost, carol: Browser, bob: Browser) -> None:
    """U5: a viewer looks, an operator moves, an admin adds."""
    assert "/service/start" not in carol.get(LIST).text
    assert carol.submit(f"{LIST}/service/start").status_code == 403
    assert carol.submit(f"{LIST}/sync").status_code == 403
    assert host.supervisor.calls == []

    assert "/service/start" in bob.get(LIST).text
    assert f"{LIST}/add" not in bob.get(LIST).text
    for place in (f"{LIST}/add", f"{LIST}/worker@mail/config", f"{LIST}/worker@mail/remove"):
        assert bob.get(place).status_code == 403
        assert bob.submit(place, name="extra", type="mail").status_code == 403


def test_a_start_shows_how_it_goes_and_how_it_ended(host: MemoryHost, bob: Browser, concord: Concord) -> None:
    """M4: services, proof, sync."""
    page = bob.submit(f"{LIST}/service/start", page=LIST)
    job = ended(bob)
    after = bob.get(f"{LIST}/jobs/{job.id}")

    assert "Start the mail service" in page.text
    assert job.state is JobState.DONE
    for said in (
        "starting beat, worker@poll, worker@mail, worker@deliver, flower",
        "making the schedule equal",
        "1 added",
    ):
        assert said in after.text
    row = concord.audit.entries()[0]
    assert (row.actor, row.via, row.action, row.outcome) == ("bob", "admin", "service.start", "done")


def test_one_daemon_is_moved_alone(host: MemoryHost, bob: Browser) -> None:
    bob.submit(f"{LIST}/service/start", page=LIST, only="flower")
    ended(bob)
    assert host.supervisor.calls == [("start", ("flower",))]

    bob.submit(f"{LIST}/service/restart", page=LIST, only="flower")
    ended(bob)
    bob.submit(f"{LIST}/service/stop", page=LIST, only="flower")
    ended(bob)

    assert host.supervisor.calls[1:] == [("restart", ("flower",)), ("stop", ("flower",))]


def test_a_failed_start_shows_the_last_lines_the_cause_and_what_runs_now(host: MemoryHost, bob: Browser) -> None:
    """M2, M4: nothing is half-started silently."""
    host.supervisor.failing["flower"] = ("Traceback", "OSError: no such port")

    bob.submit(f"{LIST}/service/start", page=LIST)
    job = ended(bob)
    page = bob.get(f"{LIST}/jobs/{job.id}")

    assert job.state is JobState.FAILED
    assert "OSError: no such port" in page.text
    assert "The daemon did not start" in page.text
    assert "What runs now" in page.text
    assert 'action="/admin/workers/service/stop"' in page.text
    assert host.supervisor.daemons["beat"].activity is Activity.RUNNING


def test_without_redis_nothing_is_started_and_that_is_said(host: MemoryHost, bob: Browser) -> None:
    host.queue.down = host.pulse.down = True

    bob.submit(f"{LIST}/service/start", page=LIST)
    job = ended(bob)
    page = bob.get(f"{LIST}/jobs/{job.id}")

    assert "Redis did not answer, so nothing was started" in page.text
    assert "Check that Redis runs" in page.text
    assert host.supervisor.calls == []


def test_a_schedule_that_cannot_follow_is_said_with_what_runs(host: MemoryHost, bob: Browser) -> None:
    host.sync_fails = DatabaseDownError("refused", cause="disk full")

    bob.submit(f"{LIST}/service/start", page=LIST)
    job = ended(bob)
    page = bob.get(f"{LIST}/jobs/{job.id}")

    assert "their schedule could not be made equal" in page.text
    assert "disk full" in page.text


def test_a_second_toggle_is_told_who_is_at_it(host: MemoryHost, bob: Browser) -> None:
    """M2."""
    held, go_on = threading.Event(), threading.Event()
    host.idle.add("beat")

    def wait() -> None:
        held.set()
        go_on.wait(10)
        host.idle.clear()

    host.while_waiting = wait
    bob.submit(f"{LIST}/service/start", page=LIST)
    assert held.wait(5)

    second = bob.submit(f"{LIST}/service/stop", page=LIST)

    assert second.status_code == 409
    assert "service.start all" in second.text
    assert "bob" in second.text
    go_on.set()
    assert ended(bob).state is JobState.DONE


def test_while_it_runs_the_page_asks_again_without_javascript(host: MemoryHost, bob: Browser) -> None:
    held, go_on = threading.Event(), threading.Event()
    host.idle.add("beat")

    def wait() -> None:
        held.set()
        go_on.wait(10)
        host.idle.clear()

    host.while_waiting = wait
    page = bob.submit(f"{LIST}/service/start", page=LIST)
    assert held.wait(5)

    page = bob.get(str(page.url))

    assert '<meta http-equiv="refresh"' in page.text
    assert "waiting for Beat to tick" in page.text
    go_on.set()
    job = ended(bob)
    assert '<meta http-equiv="refresh"' not in bob.get(f"{LIST}/jobs/{job.id}").text


def test_the_end_of_a_job_ends_its_stream(host: MemoryHost, bob: Browser) -> None:
    """U1: by server-sent events."""
    bob.submit(f"{LIST}/service/stop", page=LIST)
    job = ended(bob)

    stream = bob.get(f"{LIST}/jobs/{job.id}/live")

    assert stream.headers["content-type"].startswith("text/event-stream")
    assert stream.text.rstrip().endswith("event: end\ndata:")
    assert 'data: <div id="job">' in stream.text


def test_the_end_of_the_service_ends_the_stream_of_a_job_under_way(
    host: MemoryHost, bob: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D2: whoever watches holds nobody up; the browser asks the next process, which knows what runs."""
    held, go_on = threading.Event(), threading.Event()
    host.idle.add("beat")

    def wait() -> None:
        held.set()
        go_on.wait(10)
        host.idle.clear()

    host.while_waiting = wait
    page = bob.submit(f"{LIST}/service/start", page=LIST)
    assert held.wait(5)
    over = threading.Event()
    monkeypatch.setattr(live, "_ending", over)
    threading.Timer(0.3, over.set).start()

    stream = bob.get(f"{page.url}/live")

    assert "event: end" not in stream.text
    go_on.set()
    ended(bob)


def test_a_job_of_another_life_is_told_honestly(host: MemoryHost, bob: Browser) -> None:
    page = bob.get(f"{LIST}/jobs/gone-with-the-process")

    assert page.status_code == 404
    assert "has restarted since" in page.text
    assert "What runs now" in page.text


def test_the_admin_service_is_only_restarted_from_its_own_pages(host: MemoryHost, bob: Browser) -> None:
    host.manager.start("admin", by=ALICE)
    assert f'action="{LIST}/service/stop"' not in bob.get(f"{LIST}/admin").text

    page = bob.submit(f"{LIST}/service/stop", page=LIST, only="admin")

    assert page.status_code == 422
    assert "only be restarted from here" in page.text


def test_a_daemon_that_is_none_of_ours_is_refused(host: MemoryHost, bob: Browser) -> None:
    """M3."""
    assert bob.submit(f"{LIST}/service/start", page=LIST, only="ssh.service").status_code == 422
    assert bob.get(f"{LIST}/worker@nobody").status_code == 404
    assert bob.get(f"{LIST}/worker@nobody/log").status_code == 422
    assert bob.submit(f"{LIST}/service/enable", page=LIST).status_code == 422
    assert host.supervisor.calls == []


def test_a_supervisor_that_is_away_is_told_on_the_page(host: MemoryHost, bob: Browser) -> None:
    host.supervisor.down = True

    page = bob.get(LIST)

    assert page.status_code == 200
    assert "How the daemons do could not be asked." in page.text
    assert english.remedy(SupervisorDownError("none")).split("'")[0].split("(")[0] in page.text


def test_the_last_lines_of_a_daemon_are_escaped(host: MemoryHost, carol: Browser) -> None:
    host.supervisor.logs["beat"] = ["fine", "<script>alert(1)</script>"]

    for place in (f"{LIST}/beat", f"{LIST}/beat/log"):
        page = carol.get(place)
        assert "fine\n&lt;script&gt;" in page.text
        assert "<script>alert" not in page.text


def test_sync_says_what_it_did(host: MemoryHost, bob: Browser, concord: Concord) -> None:
    """P2."""
    page = bob.submit(f"{LIST}/sync", page=LIST)

    assert "The mail tasks are in sync: 0 added" in page.text
    assert concord.audit.entries()[0].action == "schedule.sync"


# Adding, changing, removing.


def test_a_worker_is_added_and_started(host: MemoryHost, alice: Browser, concord: Concord) -> None:
    """W3: of the type Mail service (Celery)."""
    form = alice.get(f"{LIST}/add")
    assert "Mail service (Celery)" in form.text

    page = alice.submit(f"{LIST}/add", page=f"{LIST}/add", name="extra", type="poll", concurrency="4", prefetch="")

    assert "The worker extra is added" in page.text
    assert json.loads(host.workers.path("extra").read_text()) == {"type": "poll", "concurrency": 4}
    assert "worker@extra" in host.supervisor.daemons
    assert host.supervisor.calls == [("adopt", ())]
    started = alice.submit(f"{LIST}/add", page=f"{LIST}/add", name="more", type="mail", start="1")
    assert "Start worker@more" in started.text
    ended(alice)
    assert host.supervisor.calls[-1] == ("start", ("worker@more",))


def test_every_mistake_stands_at_its_field(host: MemoryHost, alice: Browser) -> None:
    """M6."""
    page = alice.submit(
        f"{LIST}/add", page=f"{LIST}/add", name="Bad Name", type="mail", concurrency="0", prefetch="many"
    )

    assert page.status_code == 422
    assert page.text.count('aria-invalid="true"') == 3
    for said in ("cannot be a worker&#39;s name", "This number is too small", "This must be a whole number"):
        assert said in page.text
    assert 'value="Bad Name"' in page.text
    assert host.supervisor.calls == []


def test_a_worker_that_the_manager_does_not_take_is_told_with_its_lines(host: MemoryHost, alice: Browser) -> None:
    host.supervisor.refuses = True

    page = alice.submit(f"{LIST}/add", page=f"{LIST}/add", name="extra", type="mail")

    assert page.status_code == 422
    assert "refuses to do this" in page.text
    assert not host.workers.path("extra").exists()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"concurrency": "9", "poll_interval": ""}, "Restart the worker to apply it."),
        ({"poll_interval": "30"}, "holds at once"),
        ({"json": '{"poll_interval": 31}'}, "holds at once"),
        ({"json": '{"concurrency": 5}'}, "Restart the worker to apply it."),
    ],
)
def test_a_change_says_what_holds_when(host: MemoryHost, alice: Browser, fields: dict[str, str], said: str) -> None:
    """M6."""
    place = f"{LIST}/worker@poll/config"

    page = alice.submit(place, page=place, **fields)

    assert said in page.text


def test_json_that_is_nested_without_end_is_a_mistake_like_any_other(host: MemoryHost, alice: Browser) -> None:
    place = f"{LIST}/worker@mail/config"

    page = alice.submit(place, page=place, json="[" * 20_000)

    assert page.status_code == 422
    assert "nested too deeply" in page.text


def test_json_with_mistakes_comes_back_as_it_was_typed(host: MemoryHost, alice: Browser) -> None:
    place = f"{LIST}/worker@mail/config"
    typed = '{"concurency": 4, "prefetch": 0}'

    page = alice.submit(place, page=place, json=typed)

    assert page.status_code == 422
    assert "There is no such key" in page.text
    assert "Did you mean &#39;concurrency&#39;?" in page.text
    assert "This number is too small" in page.text
    assert "&#34;concurency&#34;: 4" in page.text
    assert not host.workers.path("mail").exists()


def test_a_broken_file_is_told_and_can_be_replaced(host: MemoryHost, alice: Browser) -> None:
    write_worker(host, "extra", '{"type": "mail", "concurency": 4}')
    place = f"{LIST}/worker@extra/config"

    assert "file cannot be used" in alice.get(place).text
    assert "file cannot be used" in alice.get(f"{LIST}/worker@extra").text

    page = alice.submit(place, page=LIST, json='{"type": "mail", "concurrency": 4}')

    assert page.status_code == 200
    assert host.workers.config("extra").concurrency == 4


def test_what_waits_for_a_restart_is_marked(host: MemoryHost, carol: Browser) -> None:
    """M6."""
    host.manager.start(by=ALICE)
    host.speak("mail", limits=WorkerLimits(concurrency=99, prefetch=1))

    assert "restart to apply its settings" in carol.get(LIST).text


def test_a_worker_is_removed_once_it_is_stopped(host: MemoryHost, alice: Browser) -> None:
    alice.submit(f"{LIST}/add", page=f"{LIST}/add", name="extra", type="mail")
    host.supervisor.start(["worker@extra"], timeout=1)
    place = f"{LIST}/worker@extra/remove"
    assert "no mail is lost" in alice.get(place).text

    refused = alice.submit(place, page=place)
    host.supervisor.stop(["worker@extra"], timeout=1)
    page = alice.submit(place, page=place)

    assert refused.status_code == 409
    assert "The worker extra is removed." in page.text
    assert not host.workers.path("extra").exists()
    assert "worker@extra" not in host.supervisor.daemons


def test_the_form_and_the_schema_say_the_same_of_each_key() -> None:
    fields = WorkerDocument.model_fields

    assert {one.key for one in NUMBERS} | {"type"} == set(fields)
    assert fields["type"].description == TYPE_HELP
    for one in NUMBERS:
        schema = WorkerDocument.model_json_schema()["properties"][one.key]
        number = next(kind for kind in schema["anyOf"] if kind["type"] == "integer")
        assert (schema["description"], number["minimum"], number.get("maximum")) == (one.help, one.least, one.most)


def test_pages_are_in_chinese_too(host: MemoryHost, alice: Browser) -> None:
    """W3: the type's name is the spec's."""
    page = alice.get(f"{LIST}/add", headers={"Accept-Language": "zh-CN"})

    assert "邮件服务 (Celery)" in page.text
