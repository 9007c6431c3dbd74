"""The admin site inside a machine, as a browser without JavaScript and as a program meet it."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from typing import Any, Final

from tests.package.machine import Machine

PASSWORD: Final = "correct-horse-battery"
ORIGIN: Final = "http://127.0.0.1:3000"
LIST: Final = "/admin/workers"
JOBS: Final = f"{LIST}/jobs"
_CSRF: Final = re.compile(r'name="csrf" value="([^"]+)"')
_TAGS: Final = re.compile(r"<[^>]*>")
_ASKED_SECONDS: Final = 150
# In curl's own files.
_ESCAPED: Final = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back."""

    status: int
    place: str  # where a redirect leads, on the site
    text: str
    seconds: float

    @property
    def json(self) -> Any:
        """Read as JSON."""
        return json.loads(self.text)

    @property
    def words(self) -> str:
        """What a person reads of a page: without tags, blanks as one."""
        told = _TAGS.sub(" ", self.text).replace("&#39;", "'").replace("&#34;", '"').replace("&amp;", "&")
        return re.sub(r"\s+([.,:;])", r"\1", re.sub(r"\s+", " ", told))


class Browser:
    """Somebody's browser: it keeps cookies and sends forms with what their page holds."""

    def __init__(self, machine: Machine, name: str) -> None:
        self._machine = machine
        self._jar = f"/root/{name}.jar"
        fields = {"csrf": _proof(self.get("/admin/login")), "name": name, "password": PASSWORD, "next": LIST}
        answer = self._ask("/admin/login", fields)
        assert (answer.status, answer.place) == (303, LIST), answer.text

    def get(self, place: str) -> Answer:
        """A page."""
        return self._ask(place)

    def submit(self, place: str, *, page: str = LIST, **fields: str) -> Answer:
        """A form of a page; what comes back is not followed."""
        return self._ask(place, {"csrf": _proof(self.get(page)), **fields})

    def move(self, verb: str, **fields: str) -> Answer:
        """The button of a daemon, or of all; the job's page once it is over, with the lines that came meanwhile."""
        began = time.monotonic()
        answer = self.submit(f"{LIST}/service/{verb}", **fields)
        assert answer.status == 303, answer.text
        return self.watch(answer.place, began)

    def watch(self, job: str, began: float) -> Answer:
        """A job's stream to its end, then its page."""
        assert job.startswith(f"{JOBS}/")
        stream = self.get(f"{job}/live")
        took = time.monotonic() - began
        assert stream.text.rstrip().endswith("event: end\ndata:"), stream.text
        page = self.get(job)
        assert page.status == 200
        return Answer(status=200, place=job, text=page.text + stream.text, seconds=took)

    def _ask(self, place: str, fields: dict[str, str] | None = None) -> Answer:
        options = [("cookie", self._jar), ("cookie-jar", self._jar), ("header", "Accept: text/html")]
        options += [("data-urlencode", f"{name}={value}") for name, value in (fields or {}).items()]
        return ask(self._machine, place, options)


class Program:
    """Whoever has a token."""

    def __init__(self, machine: Machine, token: str) -> None:
        self._machine = machine
        self._token = token

    def __call__(self, method: str, place: str, body: object = None) -> Answer:
        """One call of the API, or of the older one."""
        options = [("request", method), ("header", f"Authorization: Bearer {self._token}")]
        if body is not None:
            options += [("header", "Content-Type: application/json"), ("data", json.dumps(body))]
        return ask(self._machine, place, options)

    def move(self, verb: str, only: str = "") -> Answer:
        """Start, stop or restart, and wait for the end."""
        chosen = f"&only={only}" if only else ""
        answer = self("POST", f"/api/v1/service/{verb}?wait=140{chosen}")
        assert answer.status == 202, answer.text
        return answer


def ask(machine: Machine, place: str, options: list[tuple[str, str]]) -> Answer:
    """Ask with curl, from inside; passwords and tokens stay out of its arguments."""
    lines = [f'{name} = "{value.translate(_ESCAPED)}"' for name, value in options]
    limit = f"--max-time {_ASKED_SECONDS}"
    command = f"curl -sS -N {limit} -w '\\n%{{http_code}} %{{redirect_url}}' --config - '{ORIGIN}{place}'"
    began = time.monotonic()
    said = machine.run(command, stdin="\n".join(lines), timeout=_ASKED_SECONDS + 20).stdout
    text, _, last = said.rpartition("\n")
    status, _, led = last.partition(" ")
    return Answer(status=int(status), place=led.removeprefix(ORIGIN), text=text, seconds=time.monotonic() - began)


def add_user(machine: Machine, name: str, role: str) -> Browser:
    """As root does it at a shell; signed in."""
    machine.run(f"concord user add {name} --role {role} --password-stdin", stdin=f"{PASSWORD}\n")
    return Browser(machine, name)


def token_of(machine: Machine, name: str, *scopes: str) -> Program:
    """As root does it at a shell."""
    told = "".join(f" --scope {scope}" for scope in scopes)
    said = machine.output(f"concord token create test --user {name}{told}")
    return Program(machine, said.splitlines()[0])


def _proof(page: Answer) -> str:
    found = _CSRF.search(page.text)
    assert found, page.text
    return found[1]
