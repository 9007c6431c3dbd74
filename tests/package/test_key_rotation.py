"""The key is rotated on a booted system, where LoadCredential copies at the start only (A3; issue 9, B)."""

from __future__ import annotations

import json

import pytest

from tests.package.host import DAEMONS, PYTHON, TARGET, Host

# The release matters little to this story: one will do.
pytestmark = pytest.mark.parametrize("suite", ["trixie"], indirect=True, scope="session")

SETTINGS = '[webhook]\nallow_networks = ["127.0.0.0/8"]\n'
KEY = "/etc/concord/credentials/secret_key"
SECRET = "whsec_YSBzZWNyZXQgb2YgMjQgb2N0ZXRzIG9r"
PLAN = """\
[[handlers]]
name = "crm"
kind = "webhook"
options = { url = "http://127.0.0.1:8099/" }
secret_file = "/opt/rotation/secret"
[[rules]]
name = "all"
match = { account = "*" }
handlers = ["crm"]
"""
# Takes what is signed, and refuses what is not.
RECEIVER = """\
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(204 if self.headers["webhook-signature"] else 400)
        self.end_headers()
ThreadingHTTPServer(("127.0.0.1", 8099), Handler).serve_forever()
"""


@pytest.fixture
def flowing(host: Host) -> Host:
    """A signed webhook for each mail."""
    machine = host.machine
    machine.put("/opt/rotation/receiver.py", RECEIVER)
    machine.run(["systemd-run", "--unit=receiver", PYTHON, "/opt/rotation/receiver.py"])
    machine.put("/etc/concord/concord.toml", SETTINGS)
    machine.run(f"systemctl restart {TARGET} concord-admin.service", timeout=120)
    host.wait_until_up()
    machine.put("/opt/rotation/secret", SECRET)
    machine.put("/opt/rotation/plan.toml", PLAN)
    # The command reads them as the user concord.
    machine.run("chmod -R a+rX /opt/rotation && concord apply /opt/rotation/plan.toml")
    host.add_account("office")
    return host


def test_rotation_fails_nothing_and_restarts_nothing(flowing: Host) -> None:
    machine = flowing.machine
    old, owner = machine.output(f"cat {KEY}"), machine.output(f"stat -c '%a %U %G' {KEY}")
    pids = flowing.main_pids(DAEMONS)

    with flowing.flow("office"):
        machine.wait_until(lambda: len(flowing.events()) >= 3, within=60, why="mail flows")
        machine.run("concord secrets rotate", timeout=180)
        seen = len(flowing.events())
        machine.wait_until(lambda: len(flowing.events()) >= seen + 5, within=60, why="mail flows on")
    flowing.wait_for_events()

    def settled() -> list[list[object]]:
        return flowing.query("SELECT DISTINCT state, attempts, failures FROM deliveries")

    machine.wait_until(lambda: settled() == [["delivered", 1, 0]], within=60, why="all are delivered at once")
    assert flowing.query("SELECT DISTINCT state FROM account_states") == [["ok"]]
    assert flowing.main_pids(DAEMONS) == pids
    assert machine.output(f"cat {KEY}") != old
    assert machine.output(f"stat -c '%a %U %G' {KEY}") == owner

    # A restart, whenever it suits, and the old key opens nothing any more.
    assert json.loads(machine.output("concord secrets status --json"))["old_key_opens"] is True
    machine.run(f"systemctl restart {TARGET} concord-admin.service", timeout=120)
    flowing.wait_until_up()
    machine.wait_until(
        lambda: json.loads(machine.output("concord secrets status --json"))["old_key_opens"] is False,
        within=60,
        why="every daemon has the new key in its own credential",
    )
    flowing.deliver("office", 3)
    flowing.wait_for_events()
