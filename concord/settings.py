"""What an operator may change: concord.toml, then credentials, then the environment. Frozen; unknown keys are errors.

`deploy/concord.toml` documents every one of these and is tested against them. Sources, strongest first: environment
(`CONCORD_POLL__INTERVAL=30`), files of the credentials directory (`$CREDENTIALS_DIRECTORY`, else
`$CONCORD_CREDENTIALS`, else /etc/concord/credentials; a file `database__url` sets database.url), the TOML file named by
`$CONCORD_CONFIG`. A daemon gets the secrets that `SECRETS_OF` names for it, and no others.
Account passwords are not settings: they lie encrypted in the database.
"""

from __future__ import annotations

import errno
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Final, Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    IPvAnyNetwork,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    NestedSecretsSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from pydantic_settings import (
    SettingsError as SourceError,
)

from concord.errors import SettingsError, nearest

DEFAULT_CONFIG = Path("/etc/concord/concord.toml")
DEFAULT_CREDENTIALS = Path("/etc/concord/credentials")
# systemd hands a whole directory over under one name: LoadCredential=concord:/etc/concord/credentials makes the file
# `secret_key` there the credential `concord_secret_key` (systemd.exec(5)).
SYSTEMD_PREFIX = "concord_"
# What a unit's SetCredential= says where there is no such file. An empty file is a mistake, and stays one.
NOT_GIVEN: Final = "-"
_S3: Final = frozenset({"archive.s3.access_key_id", "archive.s3.secret_access_key"})
_WORK: Final = _S3 | {"secret_key", "database.url", "redis.url"}
# The secrets of each daemon; the unit of each loads these as credentials.
SECRETS_OF: Final[Mapping[str, frozenset[str]]] = {
    "migrate": frozenset({"database.url"}),
    "beat": frozenset({"database.url", "redis.url"}),
    "worker": _WORK,
    "flower": frozenset({"redis.url", "flower.password"}),
    "admin": _WORK | {"flower.password"},
}
SECRETS: Final = frozenset[str]().union(*SECRETS_OF.values())
# Variables with our prefix that say where settings are, not what they are.
_NOT_SETTINGS = ("config", "credentials")
REDIS_SCHEMES = ("redis", "rediss", "unix", "sentinel")

_Model = TypeVar("_Model", bound=BaseModel)
Seconds = Annotated[int, Field(ge=1, le=30 * 86_400)]


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DatabaseSettings(_Group):
    """Where the truth lies."""

    url: SecretStr = SecretStr("sqlite:////var/lib/concord/concord.db")
    pool_size: int = Field(default=5, ge=1, le=200)
    busy_timeout: Seconds = 30

    @field_validator("url")
    @classmethod
    def _known_kind(cls, url: SecretStr) -> SecretStr:
        scheme = url.get_secret_value().partition("://")[0]
        if scheme not in ("sqlite", "postgresql", "postgresql+psycopg"):
            raise ValueError(
                f"the database is sqlite:///FILE or postgresql://USER@HOST/NAME, not {scheme or 'an empty address'}://"
            )
        return url


class RedisSettings(_Group):
    """The broker and the schedule store: a hint, not the truth."""

    url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    sentinel_service: str = "mymaster"
    key_prefix: str = Field(default="concord:", pattern=r"^[A-Za-z0-9_.-]*:?$")
    socket_timeout: Seconds = 15
    connect_timeout: Seconds = 5
    health_check_interval: Seconds = 10

    @field_validator("url")
    @classmethod
    def _no_cluster(cls, url: SecretStr) -> SecretStr:
        scheme = urlsplit(url.get_secret_value()).scheme
        if "cluster" in scheme:
            raise ValueError(
                "Redis Cluster cannot be the broker: Celery's transport (kombu) has none; "
                "use one Redis, or Sentinel for failover (sentinel://HOST:26379,…/0)"
            )
        if scheme not in REDIS_SCHEMES:
            raise ValueError("the address begins with redis://, rediss://, unix:// or sentinel://")
        return url


class S3Settings(_Group):
    """An S3-compatible object store."""

    bucket: str = Field(default="", max_length=255)
    prefix: str = ""
    endpoint_url: str | None = None
    region: str | None = None
    path_style: bool = True
    access_key_id: str | None = None
    secret_access_key: SecretStr | None = None
    connect_timeout: Seconds = 5
    read_timeout: Seconds = 30
    max_attempts: int = Field(default=3, ge=1, le=20)
    multipart_threshold: int = Field(default=8 * 1024 * 1024, ge=5 * 1024 * 1024)
    ca_file: Path | None = None

    @property
    def slowest_call(self) -> int:
        """How long one call may take, in seconds, until the store counts as down."""
        return self.max_attempts * (self.connect_timeout + self.read_timeout) + self.backoff

    @property
    def backoff(self) -> int:
        """How long botocore's standard mode waits between all tries at most: 1, 2, 4 … up to 20 seconds."""
        return sum(min(2**number, 20) for number in range(self.max_attempts - 1))


class ArchiveSettings(_Group):
    """Where every message's bytes are kept."""

    kind: Literal["file", "s3"] = "file"
    path: Path = Path("/var/lib/concord/archive")
    s3: S3Settings = S3Settings()

    @model_validator(mode="after")
    def _bucket_named(self) -> Self:
        if self.kind == "s3" and not self.s3.bucket:
            raise ValueError("archive.kind is s3, and archive.s3.bucket is not given")
        return self


# Where clouds tell a machine its own secrets: link-local addresses of all, and Amazon's, Google's and Alibaba's others.
# And what is no single host's address: "this host", multicast, broadcast.
_NO_MAIL_SERVER = (
    *("169.254.0.0/16", "fe80::/10", "fd00:ec2::254/128", "fd20:ce::254/128", "100.100.100.200/32", "168.63.129.16/32"),
    *("0.0.0.0/8", "::/128", "224.0.0.0/4", "ff00::/8", "255.255.255.255/32"),
)


class PollSettings(_Group):
    """Taking mail from servers."""

    interval: Seconds = 60
    budget: Seconds = 50
    backfill_slice: Seconds = 10
    connect_timeout: Seconds = 10
    timeout: Seconds = 30
    batch_messages: int = Field(default=50, ge=1, le=500)
    chunk_bytes: int = Field(default=256 * 1024, ge=4096, le=16 * 1024 * 1024)
    max_message_bytes: int = Field(default=150 * 1024 * 1024, ge=1024)
    authorities: Path = Path("/etc/concord/authorities")
    spool_directory: Path = Path("/var/lib/concord/spool")
    spool_max_bytes: int = Field(default=2 * 1024 * 1024 * 1024, ge=0)
    connections_per_login: int = Field(default=8, ge=1, le=500)
    connections_per_host: int = Field(default=200, ge=1, le=10_000)
    keep_connections: int = Field(default=1000, ge=0, le=10_000)
    keep_seconds: Seconds = 300
    recheck: Seconds = 900
    events_for_copies: bool = False
    backoff_base: Seconds = 30
    backoff_max: Seconds = 3600
    deny_networks: tuple[IPvAnyNetwork, ...] = tuple(ip_network(network) for network in _NO_MAIL_SERVER)
    allow_networks: tuple[IPvAnyNetwork, ...] = ()


class DiscoverySettings(_Group):
    """Finding the IMAP server of a mail address."""

    timeout: Seconds = 8
    allow_networks: tuple[IPvAnyNetwork, ...] = ()
    directory_url: str | None = Field(default=None, pattern=r"^https://[^{}\s]+/$")


class OAuthSettings(_Group):
    """Signing in to mailboxes at OAuth2 providers."""

    connect_timeout: Seconds = 5
    timeout: Seconds = 15
    refresh_margin: Seconds = 300
    allow_networks: tuple[IPvAnyNetwork, ...] = ()
    ca_file: Path | None = None


class ProcessSettings(_Group):
    """Turning messages into events."""

    chunk_messages: int = Field(default=50, ge=1, le=500)
    chunk_bytes: int = Field(default=2 * 1024 * 1024, ge=1024)
    max_attempts: int = Field(default=5, ge=1, le=100)
    retry_base: Seconds = 30
    retry_max: Seconds = 3600
    soft_time_limit: Seconds = 240
    time_limit: Seconds = 300


class DispatchSettings(_Group):
    """Bringing events to handlers, and workflows through their steps."""

    default_handlers: tuple[str, ...] = ("log",)
    max_attempts: int = Field(default=10, ge=1, le=100)
    retry_base: Seconds = 30
    retry_max: Seconds = 6 * 3600
    handler_time_limit: Seconds = 600
    handler_concurrency: int = Field(default=8, ge=1, le=1000)
    broker_bytes: int = Field(default=256 * 1024 * 1024, ge=0)


class WebhookSettings(_Group):
    """What every webhook keeps to."""

    connect_timeout: Seconds = 5
    timeout: Seconds = 15
    max_body_bytes: int = Field(default=5 * 1024 * 1024, ge=1024)
    max_response_bytes: int = Field(default=64 * 1024, ge=0)
    max_redirects: int = Field(default=3, ge=0, le=10)
    allow_networks: tuple[IPvAnyNetwork, ...] = ()
    concurrency: int = Field(default=8, ge=1, le=500)


class UpkeepSettings(_Group):
    """What Concord does for itself, over and over."""

    sweep_interval: Seconds = 30
    requeue_after: Seconds = 300
    sync_interval: Seconds = 300
    reconcile_interval: Seconds = 3600


class ThreadPoolSettings(_Group):
    """The pool of the polling and of the delivering worker: both wait."""

    concurrency: int = Field(default=32, ge=1, le=1000)
    max_tasks_per_child: int = Field(default=200_000, ge=1)
    max_memory_per_child: int = Field(default=1_000_000, ge=150_000)  # KiB, as Celery counts it
    prefetch: int = Field(default=1, ge=1, le=100)


class ProcessPoolSettings(_Group):
    """The mail worker's pool: processing works."""

    concurrency: int = Field(default=2, ge=1, le=1000)
    max_tasks_per_child: int = Field(default=1000, ge=1)
    max_memory_per_child: int = Field(default=400_000, ge=150_000)  # KiB, as Celery counts it
    prefetch: int = Field(default=1, ge=1, le=100)


class WorkerSettings(_Group):
    """The pools."""

    poll: ThreadPoolSettings = ThreadPoolSettings()
    mail: ProcessPoolSettings = ProcessPoolSettings()
    deliver: ThreadPoolSettings = ThreadPoolSettings()
    soft_shutdown_timeout: Seconds = 30
    canary_interval: Seconds = 20
    deaf_after: Seconds = 60


class BeatSettings(_Group):
    """The scheduler."""

    max_loop_interval: Seconds = 5
    lock_timeout: Seconds = 30


class FlowerSettings(_Group):
    """The task monitor's page."""

    address: str = "127.0.0.1"
    port: int = Field(default=5555, ge=1, le=65535)
    user: str = "concord"
    password: SecretStr | None = None
    max_tasks: int = Field(default=5000, ge=100)


class AdminSettings(_Group):
    """The admin site."""

    address: str = "127.0.0.1"
    port: int = Field(default=3000, ge=1, le=65535)
    hosts: tuple[str, ...] = ()
    base_url: str | None = Field(default=None, pattern=r"^https?://[^/\s?#]+$")
    proxies: tuple[IPvAnyNetwork, ...] = ()
    session_idle: Seconds = 3600
    session_absolute: Seconds = 43_200
    max_body_bytes: int = Field(default=2 * 1024 * 1024, ge=64 * 1024)


class ServiceSettings(_Group):
    """Starting and stopping the daemons."""

    supervisor: Literal["auto", "systemd", "supervisord"] = "auto"
    run_directory: Path = Path("/run/concord")
    programs_file: Path = Path("/var/lib/concord/workers.conf")
    start_timeout: Seconds = 90
    stop_timeout: Seconds = 120
    canary_timeout: Seconds = 60


class LogSettings(_Group):
    """How Concord speaks."""

    directory: Path | None = None
    style: Literal["json", "pretty"] = "json"
    level: Literal["debug", "info", "warning", "error"] = "info"


class CredentialFiles(NestedSecretsSettingsSource):
    """The files of the credentials directory, without those that a unit only mentions."""

    @classmethod
    def load_secrets(cls, path: Path) -> dict[str, str]:
        return {name: text for name, text in super().load_secrets(path).items() if text != NOT_GIVEN}


class Settings(BaseSettings):
    """The whole of it."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix="CONCORD_",
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
    )

    database: DatabaseSettings = DatabaseSettings()
    redis: RedisSettings = RedisSettings()
    archive: ArchiveSettings = ArchiveSettings()
    poll: PollSettings = PollSettings()
    discovery: DiscoverySettings = DiscoverySettings()
    oauth: OAuthSettings = OAuthSettings()
    process: ProcessSettings = ProcessSettings()
    dispatch: DispatchSettings = DispatchSettings()
    webhook: WebhookSettings = WebhookSettings()
    upkeep: UpkeepSettings = UpkeepSettings()
    worker: WorkerSettings = WorkerSettings()
    beat: BeatSettings = BeatSettings()
    flower: FlowerSettings = FlowerSettings()
    admin: AdminSettings = AdminSettings()
    service: ServiceSettings = ServiceSettings()
    log: LogSettings = LogSettings()
    secret_key: SecretStr | None = None
    secret_key_file: Path | None = None

    @field_validator("secret_key_file")
    @classmethod
    def _handed_over(cls, file: Path | None) -> Path | None:
        """The units hide the installed folder of credentials, and hand its files over as credentials."""
        credentials = os.environ.get("CREDENTIALS_DIRECTORY")
        if not credentials or file is None or file.parent != DEFAULT_CREDENTIALS:
            return file
        credential = Path(credentials, file.name)
        return credential if credential.is_file() else file

    @model_validator(mode="after")
    def _time_limits_fit(self) -> Self:
        if self.process.soft_time_limit >= self.process.time_limit:
            raise ValueError("process.soft_time_limit must be shorter than process.time_limit")
        return self

    @model_validator(mode="after")
    def _calls_fit(self) -> Self:
        """A call that outlives the time limit would end the worker, and botocore swallows the soft one."""
        for call in slowest_calls(self):
            if not call.fits:
                raise ValueError(f"{call}: {call.remedy}")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources; the first that knows a setting decides."""
        del dotenv_settings
        sources = [init_settings, env_settings]
        if folder := credentials_directory():
            sources.append(
                CredentialFiles(
                    file_secret_settings,
                    secrets_dir=folder,
                    secrets_nested_delimiter="__",
                    secrets_prefix=credential_prefix(folder),
                )
            )
        sources.append(TomlConfigSettingsSource(settings_cls, config_path()))
        return tuple(sources)


@dataclass(frozen=True, slots=True)
class SlowestCall:
    """The worst case of a call that a task may make, and how long it may be. In seconds."""

    arithmetic: str
    seconds: int
    limit: int
    limit_name: str
    remedy: str

    @property
    def fits(self) -> bool:
        """Whether the task is over in time all the same."""
        return self.seconds <= self.limit

    def __str__(self) -> str:
        relation = "fits into" if self.fits else "is more than"
        return f"{self.arithmetic} = {self.seconds} s {relation} {self.limit_name} ({self.limit} s)"


def slowest_calls(settings: Settings) -> list[SlowestCall]:
    """The calls that may hang, with their worst cases. A task begins none after half of its time."""
    half = settings.process.soft_time_limit // 2
    webhook = SlowestCall(
        f"webhook.timeout: {settings.webhook.timeout} s",
        settings.webhook.timeout,
        settings.process.soft_time_limit,
        "process.soft_time_limit",
        "lower webhook.timeout, or raise process.soft_time_limit and process.time_limit",
    )
    if settings.archive.kind != "s3":
        return [webhook]
    s3 = settings.archive.s3
    arithmetic = (
        f"archive.s3: {s3.max_attempts} tries × ({s3.connect_timeout} s to connect + {s3.read_timeout} s to read) "
        f"+ {s3.backoff} s between them"
    )
    remedy = (
        "lower archive.s3.max_attempts or archive.s3.read_timeout, or raise process.soft_time_limit and "
        "process.time_limit"
    )
    return [webhook, SlowestCall(arithmetic, s3.slowest_call, half, "half of process.soft_time_limit", remedy)]


def config_path() -> Path:
    """The TOML file this process reads."""
    return Path(os.environ.get("CONCORD_CONFIG", DEFAULT_CONFIG))


def workers_directory() -> Path:
    """The folder of the workers' JSON files: beside the TOML file."""
    return config_path().parent / "workers"


def credentials_directory() -> Path | None:
    """The folder of secret files: systemd's, the one named by CONCORD_CREDENTIALS, or the installed one."""
    named = os.environ.get("CREDENTIALS_DIRECTORY") or os.environ.get("CONCORD_CREDENTIALS")
    if named:
        return Path(named)
    return DEFAULT_CREDENTIALS if "CONCORD_CONFIG" not in os.environ and DEFAULT_CREDENTIALS.is_dir() else None


def credential_prefix(folder: Path) -> str:
    """What stands in front of each file's name there: `concord_` where systemd has handed the directory over."""
    if str(folder) != os.environ.get("CREDENTIALS_DIRECTORY"):
        return ""
    return SYSTEMD_PREFIX if any(file.name.startswith(SYSTEMD_PREFIX) for file in folder.iterdir()) else ""


def credential_file(name: str) -> Path | None:
    """The file of the credentials directory that gives this setting; None where there is none."""
    folder = credentials_directory()
    if folder is None:
        return None
    file = folder / f"{credential_prefix(folder)}{name.replace('.', '__')}"
    return file if file.is_file() and file.read_bytes().strip() != NOT_GIVEN.encode() else None


class _Process:
    """What this process is, and those that it forks."""

    daemon: str | None = None  # a key of SECRETS_OF


def become(daemon: str) -> None:
    """From now on, this process and those it forks load the settings without the secrets of other daemons."""
    _Process.daemon = daemon
    others = SECRETS - SECRETS_OF[daemon]
    for variable in [name for name in os.environ if _dotted(name) in others]:
        del os.environ[variable]


def _dotted(variable: str) -> str:
    return variable.upper().removeprefix("CONCORD_").lower().replace("__", ".")


def _without(settings: Settings, secrets: frozenset[str]) -> Settings:
    for name in secrets:
        settings = _reset(settings, name.split("."))
    return settings


def _reset(group: _Model, path: list[str]) -> _Model:
    """The group with the setting at the path at its default."""
    name, *below = path
    value = _reset(getattr(group, name), below) if below else type(group).model_fields[name].default
    return group.model_copy(update={name: value})


def load() -> Settings:
    """Read the settings of this process. Raises SettingsError, which names the setting, the cause and the remedy."""
    config = config_path()
    _refuse_unknown_environment()
    try:
        _refuse_missing_places(config)
        settings = Settings()
        return _without(settings, SECRETS - SECRETS_OF[_Process.daemon]) if _Process.daemon else settings
    except ValidationError as error:
        raise _told(error, config) from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError("file_no_toml", file=config, cause=error) from None
    except OSError as error:
        raise SettingsError("file_unreadable", file=error.filename, cause=error.strerror) from None
    except SourceError as error:
        raise SettingsError("variable_unfit", cause=error) from None


def _refuse_missing_places(config: Path) -> None:
    if "CONCORD_CONFIG" in os.environ and not config.is_file():
        raise SettingsError("file_missing", file=config)
    folder = credentials_directory()
    if folder and not folder.is_dir():
        raise SettingsError("credentials_missing", folder=folder)
    if folder and not os.access(folder, os.R_OK | os.X_OK, effective_ids=True):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))


def _refuse_unknown_environment() -> None:
    known = {*Settings.model_fields, *_NOT_SETTINGS}
    for name in os.environ:
        group = name.removeprefix("CONCORD_").lower().partition("__")[0]
        if name.startswith("CONCORD_") and group not in known:
            raise SettingsError("variable_unknown", variable=name, near=nearest(group, known))


def _told(error: ValidationError, config: Path) -> SettingsError:
    """One mistake at a time, in words, without the value where it may be a secret."""
    first = error.errors(include_url=False, include_context=False)[0]
    place = ".".join(str(part) for part in first["loc"]) or "(the whole)"
    if first["type"] == "extra_forbidden":
        group = _group_at(first["loc"][:-1])
        near = nearest(str(first["loc"][-1]), group.model_fields if group else ())
        return SettingsError("unknown", setting=place, cause="there is no such setting", file=config, near=near)
    return SettingsError("unusable", setting=place, cause=first["msg"].removeprefix("Value error, "), file=config)


def _group_at(path: tuple[int | str, ...]) -> type[BaseModel] | None:
    group: type[BaseModel] = Settings
    for part in path:
        field = group.model_fields.get(str(part))
        if field is None or not isinstance(field.annotation, type) or not issubclass(field.annotation, BaseModel):
            return None
        group = field.annotation
    return group
