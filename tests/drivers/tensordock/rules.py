"""What TensorDock checks of an order before it looks for a place, and how it words what does not fit."""

from collections.abc import Callable, Mapping
from typing import Any

_IMAGES = {"ubuntu2204", "ubuntu2404", "ubuntu2404_ml_everything", "ubuntu2404_ml_pytorch", "windows10"}
_RAM_GB = {2, 4, 6, 8, 10, *range(16, 257, 16), 512}
_LEAST_GB = 100
_Rule = Callable[[Mapping[str, Any]], bool]


def _gpus_fit(attributes: Mapping[str, Any]) -> bool:
    gpus = _resources(attributes).get("gpus", {})
    return len(gpus) == 1 and all(each.get("count", 0) >= 1 for each in gpus.values())


_RULES: tuple[tuple[str, str, _Rule], ...] = (
    ("type", "Invalid literal value", lambda asked: asked.get("type") == "virtualmachine"),
    ("name", "Required", lambda asked: bool(asked.get("name"))),
    (
        "resources.vcpu_count",
        "vCPU count must be even",
        lambda asked: _resources(asked).get("vcpu_count", 1) % 2 == 0,
    ),
    ("resources.ram_gb", "Invalid RAM size", lambda asked: _resources(asked).get("ram_gb") in _RAM_GB),
    (
        "resources.storage_gb",
        "Number must be greater than or equal to 100",
        lambda asked: _resources(asked).get("storage_gb", 0) >= _LEAST_GB,
    ),
    ("image", "Invalid enum value", lambda asked: asked.get("image") in _IMAGES),
    (
        "location_id",
        "Either location_id or hostnode_id",
        lambda asked: ("location_id" in asked) != ("hostnode_id" in asked),
    ),
    ("ssh_key", "SSH key is required", lambda asked: ("ssh_key" in asked) != ("ssh_key_id" in asked)),
    ("resources.gpus", "At least one GPU is required", _gpus_fit),
)


def problems(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What does not fit, as the service's array; empty for an order that does."""
    return [
        {"code": "custom", "message": message, "path": ["data", "attributes", *path.split(".")]}
        for path, message, is_kept in _RULES
        if not is_kept(attributes)
    ]


def is_reached(attributes: Mapping[str, Any]) -> bool:
    """Whether somebody could log in."""
    forwards = attributes.get("port_forwards", [])
    return bool(attributes.get("useDedicatedIp") or any(each["internal_port"] == 22 for each in forwards))


def _resources(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = attributes.get("resources", {})
    return found
