"""Starting tasks of other applications on brokers of their own."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final

from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from concord.errors import HandlerError
from concord.settings import WebhookSettings

# Brokers that connections are kept to; the one not used for longest goes.
_MOST: Final = 20


class OtherBrokers:
    """One Celery app for each broker, for sending only."""

    def __init__(self, limits: WebhookSettings) -> None:
        self._limits = limits
        self._apps: OrderedDict[tuple[str, str], Celery] = OrderedDict()
        self._lock = threading.Lock()

    def send(self, url: str, prefix: str, name: str, args: Sequence[Any], *, queue: str, task_id: str) -> object:
        """Send a task by name. Raises HandlerError, which never shows the URL: it has the password."""
        app = self._app(url, prefix)
        try:
            return app.send_task(name, args=list(args), queue=queue, task_id=task_id, retry=False, ignore_result=True)
        except (OperationalError, RedisError, OSError) as error:
            raise HandlerError("broker_down", queue=queue, cause=type(error).__name__) from None

    def _app(self, url: str, prefix: str) -> Celery:
        with self._lock:
            app = self._apps.pop((url, prefix), None) or self._make(url, prefix)
            self._apps[url, prefix] = app
            while len(self._apps) > _MOST:
                _, oldest = self._apps.popitem(last=False)
                oldest.close()
            return app

    def _make(self, url: str, prefix: str) -> Celery:
        app = Celery("concord-elsewhere", set_as_current=False)
        app.conf.update(
            broker_url=url,
            broker_use_ssl={"ssl_cert_reqs": "required"} if url.startswith("rediss:") else None,
            broker_connection_timeout=self._limits.connect_timeout,
            broker_transport_options={
                "socket_timeout": self._limits.timeout,
                "socket_connect_timeout": self._limits.connect_timeout,
                "global_keyprefix": prefix,
                "max_retries": 1,
                "interval_start": 0,
                "interval_step": 0.2,
                "interval_max": 0.2,
                "connect_retries_timeout": self._limits.connect_timeout,
            },
            result_backend=None,
            task_ignore_result=True,
            task_serializer="json",
            task_publish_retry=False,
        )
        return app
