"""A session: an instance that was taken as one offer, for some hours, by somebody's program."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from berth.base.clock import Instant
from berth.base.money import Micros
from berth.core.instances import Instance

RETRIES_MOST = 5
HOURS_MOST = 12
"""Of one reservation, and of one extension."""


class Workload(StrEnum):
    """What it is taken for."""

    LLM = "llm"
    LLM_VLLM = "llm_vllm"
    LLM_TGI = "llm_tgi"
    TRAINING = "training"
    BATCH = "batch"
    INTERACTIVE = "interactive"
    INFERENCE = "inference"
    SSH = "ssh"
    BENCHMARK = "benchmark"


class LaunchMode(StrEnum):
    SSH = "ssh"
    """It runs once somebody can log in."""
    ENTRYPOINT = "entrypoint"
    """The image's own command runs, and it runs once that answers over HTTP; nobody logs in."""


class StoragePolicy(StrEnum):
    DESTROY = "destroy"
    PRESERVE = "preserve"
    """Its end switches it off and keeps its disk; deleting it then destroys that too."""


class RetryScope(StrEnum):
    """What may take the place of an offer that failed."""

    SAME_GPU = "same_gpu"
    SAME_VRAM = "same_vram"
    ANY = "any"


class Status(StrEnum):
    """What follows from its instance: see `states.status_of`."""

    PENDING = "pending"
    """Nothing was asked of the provider yet."""
    PROVISIONING = "provisioning"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


ENDED = frozenset({Status.STOPPED, Status.FAILED})


class Failure(StrEnum):
    """What went wrong, for programs."""

    SSH_TIMEOUT = "ssh_timeout"
    AUTH_FAILED = "auth_failed"
    INSTANCE_STOPPED = "instance_stopped"
    INSTANCE_VANISHED = "instance_vanished"
    PROVIDER_UNAVAILABLE = "provider_unavailable"
    INVALID_REQUEST = "invalid_request"
    PROVISION_FAILED = "provision_failed"
    STALE_INVENTORY = "stale_inventory"

    @property
    def is_worth_a_retry(self) -> bool:
        """Whether the same request may succeed with another offer, or later."""
        return self is not Failure.INVALID_REQUEST


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator decides about sessions."""

    hard_max_hours: int = 12
    """No session is older than this, however often it is extended."""
    is_hard_max_off: bool = False
    """A reservation may be extended past that, and nothing ends for its age."""
    vllm_image: str = "vllm/vllm-openai:latest"
    """What serves a model where nothing else is asked for."""
    tgi_image: str = ""
    """As that, for `llm_tgi`; empty: such sessions name their image."""


@dataclass(frozen=True, slots=True)
class SessionSpec:
    """What a consumer asks for, not checked yet: `open_session` says all that is wrong with it at once."""

    consumer_id: str
    offer_id: str
    """`<provider>-<provider_offer_id>`."""
    workload_type: str
    reservation_hours: int | None
    idle_threshold_minutes: int = 0
    """0: it does not end when it is idle."""
    storage_policy: StoragePolicy = StoragePolicy.DESTROY
    launch_mode: LaunchMode = LaunchMode.SSH
    docker_image: str | None = None
    model_id: str | None = None
    exposed_ports: Sequence[int] = ()
    quantization: str | None = None
    disk_gb: int = 0
    """0: as much as is recommended."""
    template_hash_id: str | None = None
    auto_retry: bool = False
    max_retries: int = 3
    retry_scope: str = RetryScope.SAME_GPU.value
    on_start_cmd: str | None = None
    ssh_timeout_minutes: int = 0
    """0: by image; else 1 to 30."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What was seen of its use, over SSH or by its provider."""

    at: Instant
    gpu_percent: int | None
    """The busiest of its GPUs; None where there is none, or nobody can say."""
    cpu_percent: int | None
    """100: one processor, all the time since the sample before."""
    disk_free_gb: int | None


@dataclass(frozen=True, slots=True)
class Watch:
    """What is known of whether it is idle."""

    heartbeat_at: Instant | None = None
    heartbeat_idle_s: int | None = None
    """What the last heartbeat said."""
    sample: Sample | None = None
    signal_at: Instant | None = None
    """When somebody last said anything of it."""
    idle_since: Instant | None = None


@dataclass(frozen=True, slots=True)
class Session:
    id: str
    """That of its instance."""
    instance: Instance
    """As it is now: price, provider, address and GPUs are its own."""
    consumer_id: str
    offer_id: str
    """Where it is placed, as `<provider>-<provider_offer_id>`."""
    workload_type: Workload
    reservation_hours: int
    """With what it was extended by."""
    expires_at: Instant
    idle_threshold_minutes: int
    storage_policy: StoragePolicy
    launch_mode: LaunchMode
    model_id: str | None
    quantization: str | None
    template_hash_id: str | None
    template_name: str | None
    disk_gb: int
    auto_retry: bool
    max_retries: int
    retry_scope: RetryScope
    retry_count: int
    """How often it went to another offer."""
    failed_offers: Sequence[str]
    """Those that it went away from, in the form of `offer_id`."""
    failed_hosts: Sequence[str]
    """The physical hosts of those, where they are known."""
    first_price: Micros
    """Per hour, of the offer that was asked for: what others may cost is measured by it."""
    token_hash: str = field(repr=False)
    """Of the agent's token."""
    watch: Watch
    status: Status
    failure: Failure | None
    """Why it failed, or ended without anybody asking; None otherwise."""
    error: str | None
    """The same as a sentence."""
    api_port: int | None
    """Where its own server is reached, once it was."""

    @property
    def created_at(self) -> Instant:
        return self.instance.created_at

    @property
    def price(self) -> Micros:
        """Per hour."""
        return self.instance.price

    @property
    def is_active(self) -> bool:
        return self.status not in ENDED

    @property
    def is_placed(self) -> bool:
        """Whether its create at the provider has had an outcome: it exists there, or it failed."""
        return self.instance.handle is not None or self.status not in {Status.PENDING, Status.PROVISIONING}

    @property
    def api_endpoint(self) -> str | None:
        """`http://host:port` of its own server, once that answered."""
        if self.api_port is None or self.instance.ip is None:
            return None
        return f"http://{self.instance.ip}:{self.api_port}"


@dataclass(frozen=True, slots=True)
class Opened:
    """A new session with what is told once."""

    session: Session
    agent_token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Observer:
    """The key with which Berth itself enters sessions."""

    public_line: str
    private_pem: str = field(repr=False)
