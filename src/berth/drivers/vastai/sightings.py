"""What Vast.ai says of an instance, in the words of the driver port. Pure."""

import re
from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal

from berth.base.clock import Instant
from berth.core.driver import Label, Power, Sighting
from berth.drivers.vastai.reading import Json, instant, micros, number, part, rows, text, whole

SSH_USER = "root"
_SSH = "22/tcp"
_HOURS_PER_MONTH = 720
_STARTING = frozenset({"", "created", "loading", "creating", "scheduling", "rebooting"})
_LOST = frozenset({"offline", "unknown"})
"""Its host is not heard of: it may come back, and is not gone."""
_DOWN = frozenset({"stopped", "exited", "frozen"})
_PORT = re.compile(r"(\d{1,5})/tcp")
_PULL = re.compile(
    r"manifest (for .{1,300} )?(unknown|not found)|pull access denied|repository does not exist|no such image"
    r"|(?:error|failed).{0,80}(?:pull|image)|toomanyrequests",
    re.IGNORECASE,
)
_START = re.compile(r"\bOCI runtime\b|failed to (?:create|start)|^\s*error\b", re.IGNORECASE)
PULL_FAILED = "The image could not be pulled."
START_FAILED = "The container could not be started."
EXITED = "The container's own command ended."
OUTBID = "A higher bid took the hardware."
_SHOWN = 200
_US_PER_MINUTE = 60_000_000


def label_of(row: Json) -> Label | None:
    return Label.parse(text(row, "label"))


def handle_of(row: Json) -> str:
    """Its number as text; empty for a row that has none."""
    number_of_it = whole(row.get("id"))
    return str(number_of_it) if number_of_it > 0 else ""


def sighting(row: Json) -> Sighting:
    power = power_of(row)
    ip, ssh_port, ports = _address(row)
    is_running = power is Power.RUNNING
    use = number(row.get("gpu_util"))
    created = instant(row.get("start_date"))
    return Sighting(
        label=label_of(row),
        handle=handle_of(row),
        power=power,
        ip=ip,
        ssh_port=ssh_port,
        ssh_user=SSH_USER,
        reason=_reason(row, power),
        use_percent=min(max(int(use), 0), 100) if use is not None and is_running else None,
        ports=ports,
        created_at=None if created is None else Instant(created),
        cost_micros_per_hour=_cost(row, power),
        running_for_us=_running_for(row) if is_running else None,
    )


def _running_for(row: Json) -> int | None:
    minutes = number(row.get("uptime_mins"))
    return None if minutes is None or minutes < 0 else round(minutes * _US_PER_MINUTE)


def power_of(row: Json) -> Power:
    """The three states that it has there as one: what it is, what it is to be, and what its contract is."""
    actual, intended, contract = (
        text(row, "actual_status"),
        text(row, "intended_status"),
        text(row, "cur_state"),
    )
    is_wanted = intended not in _DOWN
    if actual == "running":
        return Power.RUNNING if is_wanted else Power.STOPPING
    if actual in _STARTING or actual in _LOST:
        if not is_wanted:
            # Off is what its contract says, also where its host is not heard of: nothing of it is billed but the disk.
            return Power.STOPPED if contract in _DOWN or actual in _LOST else Power.STOPPING
        return Power.FAILED if actual not in _LOST and _trouble(row) else Power.CREATING
    if actual in _DOWN:
        if not is_wanted:
            return Power.STOPPED
        # Wanted up with a contract that is still off: it waits for its hardware.
        return Power.CREATING if contract in _DOWN or not contract else Power.FAILED
    return Power.CREATING


def _trouble(row: Json) -> str | None:
    said = text(row, "status_msg")
    if _PULL.search(said):
        return PULL_FAILED
    return START_FAILED if _START.search(said) else None


def _reason(row: Json, power: Power) -> str | None:
    if power is Power.FAILED:
        return _trouble(row) or EXITED
    if power is Power.STOPPED and row.get("is_bid") is True and text(row, "next_state") == "stopped":
        return OUTBID
    return None


def exited_saying(log: str) -> str:
    """Why a container ended whose provider does not say, by the last line of what it wrote itself."""
    lines = [line for line in (_printable(each) for each in log.splitlines()) if line]
    return f"{EXITED[:-1]}: {lines[-1][:_SHOWN]}" if lines else EXITED


def _printable(line: str) -> str:
    return "".join(each if each.isprintable() else " " for each in line).strip()


def _address(row: Json) -> tuple[str | None, int | None, Mapping[int, int]]:
    """Where it is reached: straight at its host where that maps ports, else through the provider's proxy for SSH."""
    host, mapped = text(row, "public_ipaddr"), _mapped(row)
    if host and mapped:
        ssh_port = mapped.pop(22, None)
        if ssh_port is not None or _is_entrypoint(row):
            return host, ssh_port, mapped
    proxy, port = text(row, "ssh_host"), whole(row.get("ssh_port"))
    if not proxy or not _is_port(port) or _is_entrypoint(row):
        return None, None, {}
    return proxy, port + ("jupyter" in text(row, "image_runtype")), {}


def _is_entrypoint(row: Json) -> bool:
    return text(row, "image_runtype") == "args"


def _mapped(row: Json) -> dict[int, int]:
    """The ports that can be reached, by the port inside."""
    found = {}
    for inside, places in part(row, "ports").items():
        named = _PORT.fullmatch(inside)
        outside = next(
            (port for place in rows(places) if _is_port(port := whole(place.get("HostPort")))), None
        )
        if named and outside is not None:
            found[int(named.group(1))] = outside
    return found


def _is_port(port: int) -> bool:
    return 0 < port <= 65_535  # noqa: PLR2004


def _cost(row: Json, power: Power) -> int | None:
    """What is charged now: while it is off, the disk alone."""
    if power is not Power.STOPPED:
        return micros(row.get("dph_total"))
    per_gb, size = number(row.get("storage_cost")), number(row.get("disk_space"))
    if per_gb is None or size is None:
        return None
    hourly = per_gb * size * 1_000_000 / Decimal(_HOURS_PER_MONTH)
    return int(hourly.to_integral_value(rounding=ROUND_CEILING))
