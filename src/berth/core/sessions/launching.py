"""How what was asked for is started at a provider of given abilities, or why it cannot be. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from berth.base.clock import HOUR
from berth.core.catalog import Offer
from berth.core.driver import Abilities, Launch, ProviderTemplate
from berth.core.errors import Invalid
from berth.core.sessions.model import LaunchMode, Rules, SessionSpec, StoragePolicy, Workload

SSH_TIMEOUT_S = 600
HEALTH_TIMEOUT_S = 600
_MINUTES_MOST = 30
_USUAL_PORT = 8000
"""Where a server is asked whether it runs that was ordered without one."""
_VLLM_PORT = 8000
_TGI_PORT = 80
_SLOW_IMAGES: Sequence[tuple[str, int]] = (
    ("vllm", 15),
    ("nemo", 15),
    ("megatron", 15),
    ("text-generation", 12),
    ("tgi", 12),
    ("tensorrt", 12),
    ("deepspeed", 12),
    ("triton", 12),
    ("ollama", 12),
)
"""Minutes that those take whose image has that in its name; the first that fits counts."""
_UNQUANTIZED = frozenset({"none", "fp16", "bf16", "float16", "bfloat16", "fp32", "float32"})


@dataclass(frozen=True, slots=True)
class Start:
    """What the provider is told, besides what it is told of every instance."""

    launch: Launch | None
    environment: Mapping[str, str] = field(default_factory=dict)
    startup_script: str | None = None
    timeout_s: int = SSH_TIMEOUT_S
    mode: LaunchMode = LaunchMode.SSH


def start_of(
    spec: SessionSpec,
    abilities: Abilities,
    rules: Rules,
    *,
    template: ProviderTemplate | None,
    provider: str,
    bid_micros_per_hour: int | None = None,
) -> Start:
    """Raises Invalid naming the member that this provider cannot do."""
    mode = mode_of(spec)
    check(spec, abilities, provider=provider)
    if not abilities.containers:
        return Start(None, startup_script=spec.on_start_cmd, timeout_s=_timeout_s(spec, "", mode))
    image, ports = spec.docker_image, tuple(spec.exposed_ports)
    arguments: tuple[str, ...] = ()
    environment: dict[str, str] = {}
    if mode is LaunchMode.ENTRYPOINT:
        image, port, arguments, environment = _served(spec, rules)
        ports = (port, *(each for each in ports if each != port))
    launch = Launch(
        image=image,
        template=spec.template_hash_id,
        arguments=arguments,
        ports=ports,
        is_entrypoint=mode is LaunchMode.ENTRYPOINT,
        bid_micros_per_hour=bid_micros_per_hour,
    )
    named = image or ("" if template is None else template.image)
    return Start(launch, environment, spec.on_start_cmd, _timeout_s(spec, named, mode), mode)


def mode_of(spec: SessionSpec) -> LaunchMode:
    """With a template somebody can always log in."""
    return LaunchMode.SSH if spec.template_hash_id else spec.launch_mode


def check(spec: SessionSpec, abilities: Abilities, *, provider: str) -> None:
    """Raises Invalid naming the member that a provider of these abilities cannot do."""
    if spec.template_hash_id and not abilities.templates:
        raise _not_supported("template_hash_id", f"{provider} keeps no templates.")
    if not abilities.containers:
        for member, is_asked in (
            ("docker_image", bool(spec.docker_image)),
            ("launch_mode", mode_of(spec) is LaunchMode.ENTRYPOINT),
            ("exposed_ports", bool(spec.exposed_ports)),
        ):
            if is_asked:
                raise _not_supported(
                    member, f"{provider} runs no containers: a session there is entered over SSH."
                )
    if spec.on_start_cmd and not abilities.startup_script:
        raise _not_supported("on_start_cmd", f"{provider} runs no command at the start.")
    if spec.storage_policy is StoragePolicy.PRESERVE and not keeps_storage(abilities):
        raise _not_supported(
            "storage_policy",
            f"{provider} cannot stop what it runs, give the hardware back and keep its disk: choose destroy.",
        )


def lasts(offer: Offer, micros: int) -> bool:
    """Whether the offer's machine can be rented for so long from now."""
    most_hours = 0 if offer.market is None else offer.market.max_duration_hours
    return most_hours == 0 or micros <= most_hours * HOUR


def keeps_storage(abilities: Abilities) -> bool:
    return abilities.stop and abilities.stop_releases_hardware


def _served(spec: SessionSpec, rules: Rules) -> tuple[str, int, tuple[str, ...], dict[str, str]]:
    """The image whose own command runs, the port of its server, its arguments and environment."""
    if spec.docker_image is not None and spec.workload_type not in _MODEL_SERVERS:
        return spec.docker_image, next(iter(spec.exposed_ports), _USUAL_PORT), (), {}
    is_tgi = spec.workload_type == Workload.LLM_TGI.value
    image = spec.docker_image or (rules.tgi_image if is_tgi else rules.vllm_image)
    if not image or (spec.docker_image is None and spec.workload_type not in _MODEL_SERVERS):
        raise Invalid(
            "invalid_field", "docker_image is required for this workload_type.", field="docker_image"
        )
    if spec.docker_image is None and spec.model_id is None:
        raise Invalid(
            "invalid_field", "model_id is required: it is what the server serves.", field="model_id"
        )
    quantization = spec.quantization if (spec.quantization or "none").casefold() not in _UNQUANTIZED else None
    port = _TGI_PORT if is_tgi else _VLLM_PORT
    if spec.docker_image is not None and spec.exposed_ports:
        port = spec.exposed_ports[0]
    if is_tgi:
        named = {"MODEL_ID": spec.model_id, "QUANTIZE": quantization}
        return image, port, (), {name: value for name, value in named.items() if value is not None}
    arguments: tuple[str, ...] = () if spec.model_id is None else ("--model", spec.model_id)
    if quantization is not None:
        arguments = (*arguments, "--quantization", quantization)
    return image, port, arguments, {}


_MODEL_SERVERS = frozenset({Workload.LLM.value, Workload.LLM_VLLM.value, Workload.LLM_TGI.value})


def _timeout_s(spec: SessionSpec, image: str, mode: LaunchMode) -> int:
    if spec.ssh_timeout_minutes > 0:
        return 60 * min(spec.ssh_timeout_minutes, _MINUTES_MOST)
    if mode is LaunchMode.ENTRYPOINT:
        return HEALTH_TIMEOUT_S
    named = image.casefold()
    return next((60 * minutes for word, minutes in _SLOW_IMAGES if word in named), SSH_TIMEOUT_S)


def _not_supported(field: str, message: str) -> Invalid:
    return Invalid("not_supported", f"{field}: {message}", field=field)
