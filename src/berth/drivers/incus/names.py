"""How what is ours is named at Incus, and which of its keys are ours."""

import re
from collections.abc import Sequence

from berth.core.driver import Label

INSTALLATION = "user.berth.installation"
INSTANCE = "user.berth.instance"
OFFER = "user.berth.offer"
HOLDS = "user.berth.holds"
"""Whether it keeps its hardware while it is off."""
HOST_KEY = "user.berth.host_key"
"""Fingerprint of its SSH server's key."""
MOVES = "user.berth.moves"
"""How often a volume went from one member to another."""
COPYING = "user.berth.copying"
GPUS = "user.gpus"
"""How many an instance has, or a member: what the placement script counts."""
EVACUATES_AT = "user.berth.evacuates_at"
"""Of a member: when its instances are to leave it, in microseconds since the epoch."""
MOVE = "user.berth.move"
"""Of an instance that is on its way to another member: where to, and what was taken off it, as JSON."""
SSH_DEVICE = "berth-ssh"
INIT_DEVICE = "berth-init"
ROOT_DEVICE = "root"
_VOLUME_PREFIX = "v-"
_GPU_PREFIX = "berth-gpu"
_HOSTNAME_LIMIT = 63
_HOSTNAME = re.compile(r"[^a-z0-9]+")


def instance(label: Label) -> str:
    """Unique in the project across the cluster, so that a create made twice makes one.

    It says whose it is by itself: of an instance whose member is away the engine tells no more than its name.
    """
    return str(label).lower()


def volume(label: Label) -> str:
    return f"{_VOLUME_PREFIX}{label.instance_id.lower()}"


def gpu_device(number: int) -> str:
    return f"{_GPU_PREFIX}{number}"


def gpu_devices(cards: Sequence[str]) -> dict[str, dict[str, str]]:
    """By the names of the devices; `cards` are PCI addresses."""
    return {
        gpu_device(number): {"type": "gpu", "gputype": "physical", "pci": pci}
        for number, pci in enumerate(cards)
    }


def is_our_gpu(device: str) -> bool:
    return device.startswith(_GPU_PREFIX)


def hostname(wanted: str, label: Label) -> str:
    """What comes closest to `wanted` and is a host name: ASCII letters, digits and dashes."""
    kept = _HOSTNAME.sub("-", wanted.lower()).strip("-")
    return kept[:_HOSTNAME_LIMIT].strip("-") or f"berth-{label.instance_id.lower()}"
