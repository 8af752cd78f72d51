"""Virtual machines as TensorDock describes them, in the words of the driver port, and orders in its own. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from berth.core.driver import CreateOrder, Label, Power, Sighting
from berth.drivers.tensordock import cloud_init, names
from berth.drivers.tensordock.selling import DISK_GB, SSH_USER, OfferName, Shape
from berth.drivers.tensordock.words import Json, micros, number, part, rows, text, whole

SSH_PORT = 22
_ASKED_PORTS = 20_000
"""Where a port inside is asked to be reached from outside; another one may be given."""
_DISK_STEP_GB = 50
_POWERS = {
    **dict.fromkeys(("creating", "queued", "starting"), Power.CREATING),
    "running": Power.RUNNING,
    "stopping": Power.STOPPING,
    **dict.fromkeys(("stopped", "stoppeddisassociated"), Power.STOPPED),
    "deleting": Power.DELETING,
    "error": Power.FAILED,
}
_GONE = frozenset({"deleted", "terminated"})
_FAILED = "The provider says that the instance failed."


def listed(answer: object) -> Sequence[Any] | None:
    """The rows of a list in any of its shapes, as they came; None where the answer has no list."""
    data = answer.get("data", answer) if isinstance(answer, Mapping) else answer
    found = data.get("instances") if isinstance(data, Mapping) else data
    return found if isinstance(found, list) else None


def flat(row: object) -> Json:
    """One virtual machine with its members side by side, whatever wraps them; without any where there is none."""
    if not isinstance(row, Mapping):
        return {}
    inner = row.get("data")
    if isinstance(inner, Mapping):
        return flat(inner)
    return {**row, **part(row, "attributes")}


def is_whole(row: Json) -> bool:
    """Whether enough of it arrived to say whose it is."""
    return bool(text(row, "id") and text(row, "name"))


def status_of(row: Json) -> str:
    return text(row, "status").casefold()


def is_there(row: Json) -> bool:
    return status_of(row) not in _GONE


def label_of(row: Json) -> Label | None:
    return names.label_of(text(row, "name"))


def sighting(row: Json, label: Label) -> Sighting | None:
    """What it is doing; None for a status that says nothing."""
    power = _POWERS.get(status_of(row))
    if power is None:
        return None
    ip = text(row, "ipAddress") or text(row, "ip_address") or None
    forwarded = _forwarded(row)
    port = SSH_PORT if names.has_own_ip(text(row, "name")) else forwarded.pop(SSH_PORT, None)
    cost = number(row.get("rateHourly"))
    return Sighting(
        label=label,
        handle=text(row, "id"),
        power=power,
        ip=ip,
        ssh_port=port if ip else None,
        ssh_user=SSH_USER,
        reason=_FAILED if power is Power.FAILED else None,
        ports=forwarded,
        cost_micros_per_hour=None if cost is None else micros(cost),
    )


def create_body(order: CreateOrder, offer: OfferName, shape: Shape, *, has_own_ip: bool) -> dict[str, Any]:
    """Raises Refused for an order that cannot be written down."""
    keys = [key.strip() for key in order.ssh_public_keys]
    attributes: dict[str, Any] = {
        "name": names.name_of(order.label, has_own_ip=has_own_ip),
        "type": "virtualmachine",
        "image": order.image_slug,
        "resources": {
            "vcpu_count": shape.vcpu_count,
            "ram_gb": shape.ram_gb,
            "storage_gb": disk_gb(order.os_volume_gb),
            "gpus": {offer.gpu: {"count": offer.count}},
        },
        "location_id": offer.location_id,
        "ssh_key": keys[0],
        "cloud_init": {
            "package_update": False,
            "package_upgrade": False,
            "runcmd": cloud_init.run_commands(keys, order.environment, order.startup_script),
        },
    }
    if has_own_ip:
        attributes["useDedicatedIp"] = True
    else:
        extra = () if order.launch is None else order.launch.ports
        attributes["port_forwards"] = [
            {"internal_port": port, "external_port": _asked_port(port), "protocol": "tcp"}
            for port in dict.fromkeys((SSH_PORT, *extra))
        ]
    return {"data": {"type": "virtualmachine", "attributes": attributes}}


def disk_gb(wanted: int) -> int:
    """What is ordered: never less than the least, and in the steps that a disk grows by."""
    return max(DISK_GB, -(-wanted // _DISK_STEP_GB) * _DISK_STEP_GB)


def _asked_port(port: int) -> int:
    return _ASKED_PORTS + port % 10_000


def _forwarded(row: Json) -> dict[int, int]:
    """Ports outside by those inside, as they are now: they need not be those that were asked for."""
    found = {
        whole(each.get("internal_port")): whole(each.get("external_port"))
        for each in rows(row.get("portForwards"))
    }
    return {inside: outside for inside, outside in found.items() if inside and outside}
