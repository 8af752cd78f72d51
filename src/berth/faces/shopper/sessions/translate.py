"""Sessions: core's values in this API's words, and back."""

from msgspec import UNSET, structs

from berth.base.clock import Instant, seconds_between
from berth.core.sessions import ENDED, LaunchMode, Session, SessionSpec, Status, StoragePolicy
from berth.core.sessions import RetryScope as Scope
from berth.faces.shopper import words
from berth.faces.shopper.sessions import wire

KEY_WAS_TOLD = "The private key and the agent token were told once, in the first answer to this request."
DIAGNOSTICS_NOTE = "Full SSH diagnostics require client-side SSH access."
LISTED_MOST = 1000
_USUAL_RETRIES = 3


def spec(request: wire.CreateRequest) -> SessionSpec:
    """What is asked for, whether it makes sense or not."""
    return SessionSpec(
        consumer_id=request.consumer_id or "",
        offer_id=request.offer_id or "",
        workload_type=request.workload_type or "",
        reservation_hours=request.reservation_hours,
        idle_threshold_minutes=request.idle_threshold_minutes or 0,
        storage_policy=StoragePolicy.PRESERVE
        if request.storage_policy == "preserve"
        else StoragePolicy.DESTROY,
        launch_mode=LaunchMode.ENTRYPOINT if request.launch_mode == "entrypoint" else LaunchMode.SSH,
        docker_image=request.docker_image or None,
        model_id=request.model_id or None,
        exposed_ports=tuple(request.exposed_ports or ()),
        quantization=request.quantization or None,
        disk_gb=request.disk_gb or 0,
        template_hash_id=request.template_hash_id or None,
        auto_retry=bool(request.auto_retry),
        max_retries=_USUAL_RETRIES if request.max_retries is None else request.max_retries,
        retry_scope=request.retry_scope or Scope.SAME_GPU.value,
        on_start_cmd=request.on_start_cmd or None,
        ssh_timeout_minutes=request.ssh_timeout_minutes or 0,
    )


def session(made: Session) -> wire.Session:
    instance = made.instance
    # What is off with its disk may have kept its address: nobody answers there.
    is_there = made.status not in ENDED
    has_login = is_there and made.launch_mode is LaunchMode.SSH and instance.ip is not None
    return wire.Session(
        id=words.session_id(made.id),
        consumer_id=made.consumer_id,
        provider=instance.provider,
        gpu_type=gpu_type(made),
        gpu_count=instance.specs.gpu_count,
        status=made.status.value,
        error=made.error or UNSET,
        ssh_host=instance.ip or UNSET if has_login else UNSET,
        ssh_port=instance.ssh_port or UNSET if has_login else UNSET,
        ssh_user=instance.ssh_user if has_login else UNSET,
        launch_mode=made.launch_mode.value if made.launch_mode is LaunchMode.ENTRYPOINT else UNSET,
        api_endpoint=made.api_endpoint or UNSET if is_there else UNSET,
        api_port=made.api_port or UNSET if is_there else UNSET,
        model_id=made.model_id or UNSET,
        template_hash_id=made.template_hash_id or UNSET,
        template_name=made.template_name or UNSET,
        workload_type=made.workload_type.value,
        reservation_hours=made.reservation_hours,
        price_per_hour=words.price(made.price),
        disk_gb=made.disk_gb or UNSET,
        created_at=words.time(made.created_at),
        expires_at=words.time(made.expires_at),
        auto_retry=made.auto_retry or UNSET,
        retry_count=made.retry_count or UNSET,
        failed_offers=",".join(made.failed_offers) or UNSET,
    )


def gpu_type(made: Session) -> str:
    return made.instance.specs.gpu_model or ""


def created(made: Session, *, private_key: str, agent_token: str) -> wire.Created:
    return wire.Created(
        session=session(made),
        ssh_private_key=private_key,
        agent_token=agent_token,
        retries_attempted=made.retry_count or UNSET,
    )


def as_it_is(first: wire.Created, made: Session) -> wire.Created:
    """The answer with what became of the session meanwhile."""
    return structs.replace(first, session=session(made), retries_attempted=made.retry_count or UNSET)


def without_secrets(answer: wire.Created) -> wire.Created:
    return structs.replace(answer, ssh_private_key=UNSET, agent_token=UNSET, note=KEY_WAS_TOLD)


def diagnostics(made: Session, now: Instant) -> wire.Diagnostics:
    instance = made.instance
    watch = made.watch
    has_login = made.launch_mode is LaunchMode.SSH
    return wire.Diagnostics(
        session_id=words.session_id(made.id),
        status=made.status.value,
        provider=instance.provider,
        gpu_type=gpu_type(made),
        gpu_count=instance.specs.gpu_count,
        ssh_host=instance.ip or "" if has_login else "",
        ssh_port=instance.ssh_port or 0 if has_login else 0,
        ssh_user=instance.ssh_user if has_login else "",
        launch_mode=made.launch_mode.value,
        api_endpoint=made.api_endpoint or "",
        created_at=words.time(made.created_at),
        expires_at=words.time(made.expires_at),
        uptime=duration(seconds_between(made.created_at, now)),
        time_to_expiry=duration(seconds_between(now, made.expires_at))
        if made.expires_at > now
        else "expired",
        ssh_available=has_login and instance.ip is not None and instance.ssh_port is not None,
        note=DIAGNOSTICS_NOTE,
        idle_threshold_minutes=made.idle_threshold_minutes,
        idle_since=None if watch.idle_since is None else words.time(watch.idle_since),
        last_heartbeat=_heartbeat(made),
        last_use=_use(made),
    )


def duration(seconds: int) -> str:
    """`1h 30m`, or `30m` below an hour; what is over in whole minutes is left out."""
    hours, minutes = divmod(seconds // 60, 60)
    return f"{hours}h {minutes}m" if hours else f"{minutes}m"


def lives(answer: wire.Created) -> str | None:
    """The instance whose end lets an Idempotency-Key of its order be forgotten."""
    return words.instance_id(answer.session.id)


def wanted_status(word: wire.Status | None) -> Status | None:
    return None if word is None else Status(word)


def _heartbeat(made: Session) -> wire.Heartbeat | None:
    watch = made.watch
    if watch.heartbeat_at is None:
        return None
    return wire.Heartbeat(
        received_at=words.time(watch.heartbeat_at), idle_seconds=watch.heartbeat_idle_s or 0
    )


def _use(made: Session) -> wire.Use | None:
    sample = made.watch.sample
    if sample is None:
        return None
    return wire.Use(
        sampled_at=words.time(sample.at),
        gpu_percent=sample.gpu_percent,
        cpu_percent=sample.cpu_percent,
        disk_free_gb=sample.disk_free_gb,
    )
