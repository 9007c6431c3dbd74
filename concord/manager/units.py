"""The allow-list: which daemons there are (spec M3).

Nothing outside of it is ever started or stopped by Concord. The polkit rule, which says the same once more to systemd,
is made from it here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from concord.errors import UnknownDaemonError, nearest
from concord.model.daemon import ADMIN, BEAT, FLOWER, SETTLE, TARGET, USER, WORKER_PREFIX, unit_name, worker

_KINDS: Final = (BEAT, "worker", FLOWER)

_RULE: Final = """\
// Made by 'concord worker polkit --write' from the workers in /etc/concord/workers; changes here are lost.
// The user {user} may start and stop Concord's own units, and nothing else.
polkit.addRule(function (action, subject) {{
    if (action.id !== "org.freedesktop.systemd1.manage-units" || subject.user !== "{user}") {{
        return polkit.Result.NOT_HANDLED;
    }}
    // A transient unit has the verb "start", too, and brings a command of its own: only the question tells them apart.
    var questions = {{
        "start": "Authentication is required to start '$(unit)'.",
        "stop": "Authentication is required to stop '$(unit)'.",
        "restart": "Authentication is required to restart '$(unit)'.",
        "reset-failed": "Authentication is required to reset the \\"failed\\" state of '$(unit)'."
    }};
    var units = [
{units}
    ];
    var unit = action.lookup("unit");
    var verb = action.lookup("verb");
    if (typeof verb !== "string" || questions[verb] !== action.lookup("polkit.message")) {{
        return polkit.Result.NOT_HANDLED;
    }}
    if (units.indexOf(unit) >= 0) {{
        return polkit.Result.YES;
    }}
    // Takes no argument: it makes this file, and what systemd knows, follow the workers that there are.
    if (unit === "{settle}" && verb === "start") {{
        return polkit.Result.YES;
    }}
    return polkit.Result.NOT_HANDLED;
}});
"""


def members(instances: Sequence[str]) -> list[str]:
    """The daemons of the set, in the order in which a person thinks of them."""
    return [BEAT, *(worker(instance) for instance in instances), FLOWER]


def chosen(only: str | None, instances: Sequence[str]) -> list[str]:
    """The daemons that a person means: all of the set, a kind, or one. Raises UnknownDaemonError."""
    whole = members(instances)
    if only is None:
        return whole
    if only == "worker":
        return [name for name in whole if name.startswith(WORKER_PREFIX)]
    if only in (*whole, ADMIN):
        return [only]
    known = selectors(instances)
    raise UnknownDaemonError("name", name=only, near=nearest(only, known), known=", ".join(known))


def selectors(instances: Sequence[str]) -> list[str]:
    """All that a person may ask for: kinds, and single daemons."""
    return [*_KINDS, ADMIN, *(worker(instance) for instance in instances)]


def polkit_rule(instances: Sequence[str]) -> str:
    """The rule for polkit (polkit(8)): exact units, exact verbs."""
    units = [TARGET, *(unit_name(name) for name in (*members(instances), ADMIN))]
    return _RULE.format(user=USER, settle=SETTLE, units=",\n".join(f'        "{unit}"' for unit in units))
