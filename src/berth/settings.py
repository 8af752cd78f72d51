"""Every knob, in groups. Read once when a process starts, from `berth.toml` and `BERTH_*`, then passed down.

`BERTH_DATA_DIR`, `BERTH_DATABASE_URL` and their like set the members of the same name; a group's member is
`BERTH_<GROUP>_<MEMBER>`, for example `BERTH_SERVER_PORT`. What the command line says comes before both.
"""

import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from berth.core import billing
from berth.hosting import Incus

_PREFIX = "BERTH_"
_CONFIG = "BERTH_CONFIG"


Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]


class SettingsError(Exception):
    """A setting is wrong; the text says which and why."""


class Server(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The HTTP server."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: Port = 8080
    """TCP port to listen on."""
    body_limit_bytes: Annotated[int, msgspec.Meta(ge=1024, le=64 * 1024 * 1024)] = 1024 * 1024
    """The largest request body that is read."""
    trusted_proxies: str = ""
    """Networks, with commas between, whose X-Forwarded-For says where a request comes from."""
    notice_s: Annotated[float, msgspec.Meta(ge=0, le=60)] = 0.5
    """Seconds after SIGTERM for which requests are still taken, while /ready says already that no more should come."""
    drain_s: Annotated[int, msgspec.Meta(ge=0, le=3600)] = 20
    """Seconds that requests and steps under way have to finish after SIGTERM."""


Quota = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]


class Requests(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many requests a project may make in a minute, where `rate_limits` is on."""

    per_account: Quota = 500
    """In all."""
    per_route: Quota = 60
    """To one method and path template."""
    per_list: Quota = 120
    """To one that lists."""
    per_deploy: Quota = 10
    """Deploys."""


class Access(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Keys, and how long answers are repeated."""

    api_keys_per_project: Annotated[int, msgspec.Meta(ge=1, le=400)] = 20
    """API keys of one project that are active at once."""
    idempotency_retention_s: Annotated[int, msgspec.Meta(ge=3600, le=30 * 24 * 3600)] = 24 * 3600
    """Seconds for which the answer to a request with an Idempotency-Key is repeated."""
    scripts_per_project: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
    """Startup scripts that one project keeps."""
    free_units_shown: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0
    """The most free units that an offer tells of; 0: all."""


class Iaas(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The IaaS API under /v1."""

    shown_provisioning_s: Annotated[int, msgspec.Meta(ge=0, le=600)] = 2
    """Seconds that a new instance is shown as provisioning at least: its clients expect to see that."""


class Shopper(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The session broker's API: /health, /ready, /metrics and what it has under /api/v1."""

    access: Literal["auto", "open", "key"] = "auto"
    """`open` lets callers on this host in without a key, `key` nobody, `auto` is open on a loopback address alone."""
    create_wait_s: Annotated[float, msgspec.Meta(ge=0, le=280)] = 60
    """Seconds that the request of a session waits for what its provider makes of it; then it answers as things are."""


class Billing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Money."""

    minimum_deploy_usd: str = "20"
    """What a project must have, neither owed nor held, to deploy."""
    clock_start: Literal["running", "ordered"] = "running"
    """From when an instance costs: from when it runs, or from its order, once it runs or is cancelled."""
    min_on_cancel: bool = True
    """Whether deleting before `running` costs the ten-minute minimum once something was created."""
    min_runway_minutes: Annotated[int, msgspec.Meta(ge=0, le=525_600)] = 0
    """Minutes of its own price that a deploy must find in the balance beside the minimum."""
    grace_s: Annotated[int, msgspec.Meta(ge=0, le=86400)] = 600
    """Seconds between a balance seen to be used up and the stop of what runs."""
    volume_retention_hours: Annotated[int, msgspec.Meta(ge=48, le=8760)] = 72
    """Hours between that stop and the deletion of volumes, which is announced 48 hours before."""
    default_credit_usd: str = "100"
    """Credit of the project that the first start creates."""


class Period(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A term that can be ordered."""

    code: Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"\A[A-Z0-9_]+\Z")]
    """What orders name it by."""
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    """What people read."""
    unit_name: Literal["hour", "day", "week", "month", "year"]
    """What its length is counted in."""
    unit_value: Annotated[int, msgspec.Meta(ge=1, le=1000)]
    """How many of them."""
    discount_percentage: Annotated[int, msgspec.Meta(ge=0, le=100)]
    """Percent that are taken off the price."""
    is_enabled: bool = True
    """Whether it can be ordered."""


Periods = Annotated[tuple[Period, ...], msgspec.Meta(max_length=100)]


def _sold(periods: Sequence[billing.Period]) -> tuple[Period, ...]:
    return tuple(
        Period(
            sold.code,
            sold.name,
            sold.unit.value,
            sold.unit_value,
            sold.discount_percentage,
            sold.is_enabled,
        )
        for sold in periods
    )


class Contracts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Long terms. In the file a table of its own for each: `[[contracts.periods]]`."""

    periods: Periods = _sold(billing.PERIODS)
    """What instances can be bound for."""
    cluster_periods: Periods = _sold(billing.PERIODS)
    """What clusters can be bound for."""


class Currency(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Other currencies, for showing prices only: everything is charged in dollars."""

    eur_per_usd: str = "0.92"
    """Euros that a dollar is shown as."""


class Waitlist(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Waiting for what is sold out."""

    claim_window_s: Annotated[int, msgspec.Meta(ge=0, le=86400)] = 600
    """Seconds a unit is kept for who was told of it; 0 keeps none and tells several."""
    share_percent: Annotated[int, msgspec.Meta(ge=1, le=100)] = 25
    """Percent of the units of one type and location given out at once that one project may get while others wait."""


class Loops(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The loops' patience."""

    call_s: Annotated[float, msgspec.Meta(ge=1, le=600)] = 60.0
    """Seconds that one call to a provider may take."""
    lease_s: Annotated[int, msgspec.Meta(ge=3, le=600)] = 30
    """Seconds until another process takes up what one began and did not come back to, as when it was killed."""
    orphan_grace_s: Annotated[int, msgspec.Meta(ge=0, le=86400)] = 300
    """Seconds between reporting an orphan and destroying it."""


class Sessions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sessions: offers taken for some hours."""

    hard_max_hours: Annotated[int, msgspec.Meta(ge=1, le=24 * 365)] = 12
    """Hours after which every session ends, however often it was extended."""
    hard_max_off: bool = False
    """Lets sessions be extended past that; then only their own time ends them."""
    vllm_image: Annotated[str, msgspec.Meta(min_length=1, max_length=255)] = "vllm/vllm-openai:latest"
    """The container image that serves a model for `llm` and `llm_vllm` in entrypoint mode."""
    tgi_image: Annotated[str, msgspec.Meta(max_length=255)] = ""
    """As that, for `llm_tgi`; empty: such sessions have to name their image."""


class Webhooks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Calls to customers' receivers."""

    allow_private: bool = False
    """Allow plain http, and receivers on this host and in private networks: for tests and labs only."""
    allowed_networks: str = ""
    """Internal networks that may be called all the same, such as `10.1.0.0/16, fd00:1::/32`."""
    retry_permille: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 1000
    """Thousandths of the usual time between attempts: less makes a lab's retries come sooner."""


class Sandbox(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The provider on this very host."""

    is_enabled: bool = True
    """Whether this host's own capacity is sold."""
    listen_host: str = "127.0.0.1"
    """Address on which instances' SSH servers listen."""
    advertise_ip: str | None = None
    """Address that customers are told, where it differs."""
    first_port: Port = 22000
    """First TCP port for instances' SSH servers."""
    last_port: Port = 22999
    """Last TCP port for instances' SSH servers."""
    network: Literal["none", "host"] = "none"
    """`host` lets instances reach this host's loopback and each other."""
    volume_medium: Literal["NVMe", "HDD"] = "NVMe"
    """What the disk below the data directory is sold as, for volumes."""
    volume_usd_per_gb_month: str = "0.2"
    """Price of one GB of volume for a month of 730 hours, in dollars."""


class Verda(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An account at Verda Cloud, or at another Berth, to buy from."""

    base_url: str = "https://api.verda.com/v1"
    """Its API, with `/v1` and without a slash at its end."""
    client_id: str | None = None
    """Who we are there. Without it nothing is bought."""
    client_secret: str | None = None
    """The secret that goes with `client_id`."""
    margin_percent: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 10
    """What is put on the cost of what is bought there."""
    units: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 4
    """How many of a type are offered where it only says that there are some."""
    low_balance_usd: str = "50"
    """What its balance must be below for a warning with each look at its catalogue, in dollars."""


class Vastai(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An account at Vast.ai, a marketplace, to buy from."""

    base_url: str = "https://console.vast.ai"
    """Its API, without a path."""
    api_key: str | None = None
    """The account's key. Without it nothing is bought."""
    margin_percent: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 0
    """What is put on the cost of what is bought there."""
    min_reliability: str = "0.95"
    """What a host's reliability must be at least, 0 to 1."""
    verified_only: bool = True
    """Sell only hosts that Vast.ai has verified."""
    disk_gb: Annotated[int, msgspec.Meta(ge=8, le=10_000)] = 50
    """How much disk the price of an offer covers, and what an instance gets whose order names none."""
    search_pages: Annotated[int, msgspec.Meta(ge=1, le=10)] = 8
    """How many pages of 64 offers one look at the market asks for; the next look goes on where it ended."""
    low_balance_usd: str = "5"
    """What its credit must be below for a warning with each look at its catalogue, in dollars."""
    pace_permille: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 1000
    """Thousandths of the pauses that Vast.ai asks for between calls: less is for stand-ins of it alone."""


class TensorDock(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An organisation at TensorDock, to buy virtual machines from."""

    base_url: str = "https://dashboard.tensordock.com/api/v2"
    """Its API, with `/api/v2` and without a slash at its end."""
    api_token: str | None = None
    """An API token of the organisation. Without it nothing is bought."""
    default_image: Annotated[str, msgspec.Meta(min_length=1, max_length=100)] = "ubuntu2404_ml_everything"
    """The image that is booted when nobody chooses one."""
    margin_percent: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 0
    """What is put on the cost of what is bought there."""


class Mail(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The server that takes our e-mail."""

    host: str | None = None
    """Its name. Without it nothing is sent."""
    port: Port = 587
    """Its TCP port."""
    sender: str | None = msgspec.field(default=None, name="from")
    """Address that e-mail comes from."""
    user: str | None = None
    """Who we log in as, if the server asks."""
    password: str | None = None
    """The password that goes with `user`."""
    tls: Literal["starttls", "tls", "none"] = "starttls"
    """How the connection is encrypted: after a greeting, from the start, or not at all."""
    ca_file: Path | None = None
    """PEM file of authorities to trust besides the system's."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that can be set."""

    data_dir: Path = msgspec.field(default_factory=lambda: Path.home() / ".local" / "share" / "berth")
    """Where the embedded database, secrets and sandboxes are kept."""
    database_url: str | None = None
    """`postgresql://…`; without it, SQLite in the data directory."""
    pepper_file: Path | None = None
    """The secret that key hashes depend on; replicas must share it. Without it, made in the data directory."""
    simulate: bool = False
    """Offer a pretended catalogue of GPU types."""
    rate_limits: Literal["on", "off"] = "on"
    """`off` holds nobody back: for benchmarks."""
    server: Server = Server()
    requests: Requests = Requests()
    access: Access = Access()
    iaas: Iaas = Iaas()
    shopper: Shopper = Shopper()
    billing: Billing = Billing()
    contracts: Contracts = Contracts()
    currency: Currency = Currency()
    waitlist: Waitlist = Waitlist()
    loops: Loops = Loops()
    sessions: Sessions = Sessions()
    webhooks: Webhooks = Webhooks()
    sandbox: Sandbox = Sandbox()
    verda: Verda = Verda()
    incus: Incus = Incus()
    vastai: Vastai = Vastai()
    tensordock: TensorDock = TensorDock()
    mail: Mail = Mail()

    @property
    def database(self) -> str:
        return self.database_url or f"sqlite:///{self.data_dir / 'berth.sqlite3'}"

    @property
    def pepper_path(self) -> Path:
        return self.pepper_file or self.data_dir / "pepper"


def read(arguments: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> Settings:
    """Command line before environment before file before defaults. Raises SettingsError.

    `arguments` is nested like Settings; members that are None were not given.
    """
    environ = os.environ if environ is None else environ
    merged = _merge(_from_file(environ.get(_CONFIG)), _from_environment(environ))
    merged = _merge(merged, _given(arguments))
    try:
        return msgspec.convert(merged, Settings, strict=False, dec_hook=_path)
    except msgspec.ValidationError as error:
        raise SettingsError(str(error)) from error


def _path(kind: type, value: object) -> Path:
    if kind is not Path or not isinstance(value, str | Path) or not str(value):
        raise ValueError("must be a path")
    return Path(value).expanduser()


def _from_file(path: str | None) -> dict[str, Any]:
    if not path:
        return {}
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: {error}") from error


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for member in msgspec.structs.fields(Settings):
        group = member.type
        if isinstance(group, type) and issubclass(group, msgspec.Struct):
            inner = {
                field.encode_name: environ[name]
                for field in msgspec.structs.fields(group)
                if (name := f"{_PREFIX}{member.name}_{field.encode_name}".upper()) in environ
            }
            if inner:
                found[member.name] = inner
        elif (name := f"{_PREFIX}{member.name}".upper()) in environ:
            found[member.name] = environ[name]
    return found


def _given(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _given(value) if isinstance(value, Mapping) else value
        for name, value in arguments.items()
        if value is not None
    }


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for name, value in above.items():
        known = merged.get(name)
        merged[name] = _merge(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return merged
