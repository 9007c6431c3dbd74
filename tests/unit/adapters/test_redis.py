"""Addresses of Redis, as each library wants them."""

from __future__ import annotations

import ssl

import pytest
from pydantic import SecretStr, ValidationError

from concord.adapters.redis import broker_tls, broker_url, connect, sentinel_options, sentinels, shown_url
from concord.errors import SettingsError
from concord.settings import RedisSettings


def at(url: str) -> RedisSettings:
    return RedisSettings(url=SecretStr(url))


def test_every_sentinel_is_listed_for_kombu() -> None:
    """Trap 37, O3."""
    settings = at("sentinel://app:p%40ss@one:26379,two,three:26380/3")

    assert sentinels(settings) == [("one", 26379), ("two", 26379), ("three", 26380)]
    assert broker_url(settings) == (
        "sentinel://app:p%40ss@one:26379/3;sentinel://app:p%40ss@two:26379/3;sentinel://app:p%40ss@three:26380/3"
    )


def test_sentinels_are_asked_once_and_with_a_limit() -> None:
    """Trap 37: a frozen sentinel must not hold a publisher up."""
    options = sentinel_options(at("sentinel://one:26379/0?sentinel_password=word"))

    assert options == {"socket_timeout": 5, "socket_connect_timeout": 5, "retry": None, "password": "word"}


def test_unix_socket_keeps_its_database() -> None:
    url = broker_url(at("unix:///run/redis/redis.sock?db=4"))

    assert url == "redis+socket:///run/redis/redis.sock?virtual_host=4"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", {"ssl_cert_reqs": ssl.CERT_REQUIRED}),
        ("?ssl_ca_certs=/ca.pem", {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_ca_certs": "/ca.pem"}),
        ("?ssl_cert_reqs=none", {"ssl_cert_reqs": ssl.CERT_NONE}),
    ],
)
def test_tls_is_verified_unless_told_otherwise(query: str, expected: dict[str, object]) -> None:
    """O3: kombu alone would trust any certificate."""
    assert broker_tls(at(f"rediss://host:6380/0{query}")) == expected


def test_plain_address_has_no_tls() -> None:
    assert broker_tls(at("redis://host/0")) is None


@pytest.mark.parametrize("url", ["redis://u:word@host:1/2", "sentinel://:word@a:1,b:2/0", "unix:///s?password=word"])
def test_shown_address_has_no_secret(url: str) -> None:
    """A3."""
    assert "word" not in shown_url(at(url))
    assert "word" not in repr(at(url))


def test_client_never_repeats_what_timed_out() -> None:
    retry = connect(at("redis://host/0")).get_retry()

    assert retry is not None
    assert retry.get_retries() == 0


@pytest.mark.parametrize("url", ["redis-cluster://host:7000", "redis+cluster://host", "rediscluster://host"])
def test_cluster_address_is_refused_with_the_reason(url: str) -> None:
    """O3, trap 36."""
    with pytest.raises(ValidationError, match=r"Redis Cluster cannot be the broker.*kombu.*use one Redis, or Sentinel"):
        at(url)


@pytest.mark.parametrize("url", ["sentinel://host:abc/0", "sentinel://host:26379/zero"])
def test_misspelt_sentinel_address_is_named(url: str) -> None:
    settings = at(url)

    with pytest.raises(SettingsError):
        broker_url(settings)


def test_single_sentinel_may_have_an_ipv6_address() -> None:
    settings = at("sentinel://[::1]:26380/0")

    assert sentinels(settings) == [("::1", 26380)]
    assert broker_url(settings) == "sentinel://[::1]:26380/0"
