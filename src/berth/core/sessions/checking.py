"""Whether what a consumer asks for means anything: every sentence that is to be said, all at once. Pure."""

import re
from collections.abc import Iterator

from berth.core.errors import Invalid
from berth.core.sessions.model import HOURS_MOST, RetryScope, SessionSpec, Workload

NAME_MOST = 255
CONSUMER_MOST = 128
PORTS_MOST = 16
_PORT_MOST = 65_535
_DISK_MOST_GB = 16_384
_IDLE_MOST_MINUTES = 7 * 24 * 60
_COMMAND_MOST = 16_384
_SHOWN_MOST = 64
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]*")
"""Registry, name, tag and digest: nothing that a command line could take for more than that."""


def check(spec: SessionSpec) -> None:
    """Raises Invalid `invalid_fields` with every problem, in `problems` and joined in its message."""
    problems = list(_problems(spec))
    if problems:
        raise Invalid("invalid_fields", "; ".join(problems), problems=problems)


def hours(field: str, value: int | None) -> Iterator[str]:
    """What is wrong with a number of hours."""
    if value is None:
        yield f"{field} is required"
    else:
        yield from _between(field, value, 1, HOURS_MOST)


def _problems(spec: SessionSpec) -> Iterator[str]:
    yield from _text("consumer_id", spec.consumer_id, CONSUMER_MOST, is_required=True)
    yield from _text("offer_id", spec.offer_id, NAME_MOST, is_required=True)
    yield from _word("workload_type", spec.workload_type, [each.value for each in Workload], is_required=True)
    yield from hours("reservation_hours", spec.reservation_hours)
    yield from _between("idle_threshold_minutes", spec.idle_threshold_minutes, 0, _IDLE_MOST_MINUTES)
    yield from _image("docker_image", spec.docker_image or "")
    yield from _text("model_id", spec.model_id or "", NAME_MOST)
    if len(spec.exposed_ports) > PORTS_MOST:
        yield f"exposed_ports must be at most {PORTS_MOST} ports (got {len(spec.exposed_ports)})"
    for port in spec.exposed_ports[:PORTS_MOST]:
        yield from _between("exposed_ports", port, 1, _PORT_MOST)
    if len(set(spec.exposed_ports)) < len(spec.exposed_ports):
        yield f"exposed_ports must not name a port twice (got {', '.join(map(str, spec.exposed_ports[:PORTS_MOST]))})"
    yield from _text("quantization", spec.quantization or "", _SHOWN_MOST)
    yield from _between("disk_gb", spec.disk_gb, 0, _DISK_MOST_GB)
    yield from _text("template_hash_id", spec.template_hash_id or "", NAME_MOST)
    if spec.max_retries < 0:
        yield f"max_retries must be at least 0 (got {spec.max_retries})"
    yield from _word("retry_scope", spec.retry_scope, [each.value for each in RetryScope])
    yield from _command("on_start_cmd", spec.on_start_cmd or "")
    if spec.ssh_timeout_minutes < 0:
        yield f"ssh_timeout_minutes must be at least 0 (got {spec.ssh_timeout_minutes})"


def _text(field: str, value: str, longest: int, *, is_required: bool = False) -> Iterator[str]:
    if is_required and not value.strip():
        yield f"{field} is required"
    elif len(value) > longest:
        yield f"{field} must be at most {longest} characters (got {len(value)})"
    elif not value.isprintable():
        yield f"{field} must hold printable characters only"


def _image(field: str, value: str) -> Iterator[str]:
    yield from (wrong := list(_text(field, value, NAME_MOST)))
    if value and not wrong and not _IMAGE.fullmatch(value):
        yield f"{field} must be the name of an image (got {_shown(value)})"


def _command(field: str, value: str) -> Iterator[str]:
    if len(value) > _COMMAND_MOST:
        yield f"{field} must be at most {_COMMAND_MOST} characters (got {len(value)})"
    elif "\0" in value:
        yield f"{field} must not hold a NUL character"


def _word(field: str, value: str, words: list[str], *, is_required: bool = False) -> Iterator[str]:
    if is_required and not value:
        yield f"{field} is required"
    elif value not in words:
        yield f"{field} must be one of {', '.join(words)} (got {_shown(value)})"


def _shown(value: str) -> str:
    return "".join(each for each in value[:_SHOWN_MOST] if each.isprintable() and each not in "<>")


def _between(field: str, value: int, least: int, most: int) -> Iterator[str]:
    if value < least:
        yield f"{field} must be at least {least} (got {value})"
    elif value > most:
        yield f"{field} must be at most {most} (got {value})"
