"""One address of Redis, said the way each library wants to hear it."""

from __future__ import annotations

import ssl
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

import redis
from pydantic import SecretStr
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError
from redis.retry import Retry
from redis.sentinel import Sentinel

from concord.errors import QueueDownError, SettingsError
from concord.settings import RedisSettings

SENTINEL_PORT = 26379
# For whoever only looks, while somebody waits to be shown what there is.
LOOK_SECONDS: Final = 3
_TLS_REQUIREMENTS = {"required": ssl.CERT_REQUIRED, "optional": ssl.CERT_OPTIONAL, "none": ssl.CERT_NONE}


def connect(settings: RedisSettings) -> redis.Redis:
    """A client of the master. It connects when first used, and again after a loss; with Sentinel it asks anew then."""
    options: dict[str, Any] = {"decode_responses": True, "retry": _retry(), **timeouts(settings)}
    if _scheme(settings) != "unix":
        # A unix socket knows no keepalive, and redis-py refuses the word for one.
        options["socket_keepalive"] = True
    url = settings.url.get_secret_value()
    if _scheme(settings) != "sentinel":
        return redis.Redis.from_url(url, **options)
    parts = urlsplit(url)
    sentinel = Sentinel(  # type: ignore[no-untyped-call]  # redis-py leaves Sentinel untyped
        sentinels(settings),
        sentinel_kwargs=sentinel_options(settings),
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        db=_database(settings),
        **options,
    )
    master: redis.Redis = sentinel.master_for(  # type: ignore[no-untyped-call]  # as above
        settings.sentinel_service, redis.Redis
    )
    return master


def impatient(settings: RedisSettings) -> RedisSettings:
    """The same, for looking: a Redis that hangs counts as away within a few seconds."""
    quick = {
        "socket_timeout": min(settings.socket_timeout, LOOK_SECONDS),
        "connect_timeout": min(settings.connect_timeout, LOOK_SECONDS),
    }
    return settings.model_copy(update=quick)


def is_open(settings: RedisSettings) -> bool:
    """Whether everybody who reaches it may use it: it answers without a password. Raises what redis-py raises."""
    url = settings.url.get_secret_value()
    parts = urlsplit(url)
    # A certificate of the client's, or a socket that others cannot open, keeps them out as well.
    if "ssl_certfile" in parts.query or (parts.scheme == "unix" and not Path(parts.path).stat().st_mode & stat.S_IWOTH):
        return False
    with connect(settings.model_copy(update={"url": SecretStr(_without_login(url))})) as anybody:
        try:
            anybody.ping()
        except (AuthenticationError, NoPermissionError):
            return False
    return True


def _without_login(url: str) -> str:
    scheme, _, rest = url.partition("://")
    place, _, query = rest.partition("?")
    host, slash, path = place.partition("/")
    kept = [(name, value) for name, value in parse_qsl(query) if name not in ("username", "password")]
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}?{urlencode(kept)}"


@contextmanager
def translated() -> Iterator[None]:
    """Whatever redis-py raises comes out as QueueDownError."""
    try:
        yield
    except (RedisError, OSError) as error:
        raise QueueDownError("no_answer", cause=error) from error


def timeouts(settings: RedisSettings) -> dict[str, Any]:
    """What keeps any call from waiting for ever."""
    return {
        "socket_timeout": settings.socket_timeout,
        "socket_connect_timeout": settings.connect_timeout,
        "health_check_interval": settings.health_check_interval,
    }


def broker_url(settings: RedisSettings) -> str:
    """The address as kombu reads it. Its Sentinel form repeats login and database for each sentinel."""
    url = settings.url.get_secret_value()
    parts = urlsplit(url)
    login = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
    if parts.scheme == "unix":
        query = dict(parse_qsl(parts.query))
        secret = query.pop("password", None)
        if secret and not login:
            login = f":{quote(secret, safe='')}@"
        return f"redis+socket://{login}{parts.path}?{urlencode({'virtual_host': query.get('db', '0')})}"
    if parts.scheme == "sentinel":
        database = _database(settings)
        return ";".join(f"sentinel://{login}{_netloc(*each)}/{database}" for each in sentinels(settings))
    return url


def broker_tls(settings: RedisSettings) -> dict[str, Any] | None:
    """TLS for kombu, which without this would trust any certificate. redis-py reads the same query by itself."""
    if _scheme(settings) != "rediss":
        return None
    query = dict(parse_qsl(urlsplit(settings.url.get_secret_value()).query))
    wanted = {name: value for name, value in query.items() if name.startswith("ssl_")}
    strictness = wanted.pop("ssl_cert_reqs", "required").lower().removeprefix("cert_")
    return {**wanted, "ssl_cert_reqs": _TLS_REQUIREMENTS.get(strictness, ssl.CERT_REQUIRED)}


def shown_url(settings: RedisSettings) -> str:
    """The address without login and query: fit for logs, banners and `celery inspect conf`."""
    parts = urlsplit(settings.url.get_secret_value())
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def sentinels(settings: RedisSettings) -> list[tuple[str, int]]:
    """Every sentinel of a `sentinel://` address; an empty list for the other kinds."""
    if _scheme(settings) != "sentinel":
        return []
    netloc = urlsplit(settings.url.get_secret_value()).netloc.rpartition("@")[2]
    return [_host_and_port(each) for each in netloc.split(",") if each]


def sentinel_options(settings: RedisSettings) -> dict[str, Any]:
    """How to speak to the sentinels themselves; a frozen one must not hold us up. They may have their own password."""
    query = dict(parse_qsl(urlsplit(settings.url.get_secret_value()).query))
    options: dict[str, Any] = {
        "socket_timeout": settings.connect_timeout,
        "socket_connect_timeout": settings.connect_timeout,
        # redis-py's default asks a silent sentinel eleven times.
        "retry": None,
    }
    if "sentinel_password" in query:
        options["password"] = query["sentinel_password"]
    return options


def _retry() -> Retry:
    # No second try: redis-py's default makes a time-out last eleven times as long. The time-out must stay among the
    # errors it handles, though: that is where it drops the connection, without which a Sentinel client would hold on
    # to a frozen master for ever.
    return Retry(NoBackoff(), 0)


def _scheme(settings: RedisSettings) -> str:
    return urlsplit(settings.url.get_secret_value()).scheme


def _database(settings: RedisSettings) -> int:
    path = urlsplit(settings.url.get_secret_value()).path.strip("/")
    if not path.isdecimal() and path:
        raise SettingsError("redis_database", database=path)
    return int(path or 0)


def _host_and_port(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        return text.strip("[]"), SENTINEL_PORT
    if not port.isdecimal():
        raise SettingsError("sentinel_port", sentinel=text)
    return host.strip("[]"), int(port)


def _netloc(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
