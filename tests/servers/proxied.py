"""An admin service that believes a proxy on this machine, as a real process, and its parts as seen from the test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from concord.bootstrap import Concord
from concord.model.audit import AuditEntry, AuditFilter
from tests.servers.proxies import NAME, Caddy, Nginx, Proxy
from tests.servers.redis import RedisServer, free_port
from tests.servers.service import Service
from tests.web_world import web_concord

KINDS: Final[Mapping[str, type[Proxy]]] = {"nginx": Nginx, "caddy": Caddy}
# Where visitors are: neither the proxy's address nor one that is believed.
VISITOR: Final = "127.0.0.7"
FLOWER_PASSWORD: Final = "fl0wer-Zw1ebelkuchen"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A running admin service, its parts as seen from this process, and the ports of its daemons."""

    concord: Concord
    port: int
    flower: int

    def audited(self, action: str) -> AuditEntry:
        """The newest row of that action."""
        return self.concord.audit.entries(AuditFilter(action=action, limit=1))[0]


@contextmanager
def proxied_site(folder: Path, redis_server: RedisServer) -> Iterator[Site]:
    """Up while the block runs."""
    url, port, flower = f"sqlite:///{folder}/concord.db", free_port(), free_port()
    settings = f"""
        [admin]
        port = {port}
        base_url = "https://{NAME}"
        proxies = ["127.0.0.1/32"]
        [flower]
        port = {flower}
        [archive]
        path = "{folder}/archive"
    """
    with web_concord(folder, database=url, redis=redis_server.url) as concord:
        assert concord.settings.secret_key
        credentials = {
            "secret_key": concord.settings.secret_key.get_secret_value(),
            "database__url": url,
            "redis__url": redis_server.url,
            "flower__password": FLOWER_PASSWORD,
        }
        with Service("admin", folder, settings=settings, credentials=credentials) as admin:
            assert admin.is_ready(), admin.log
            yield Site(concord=concord, port=port, flower=flower)
