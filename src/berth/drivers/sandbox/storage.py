"""What volumes are sold as: types, places, prices and how much there is.

All of them are directories on one disk. Its medium and its price are the operator's word; pretended types are
sold in every pretended place.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from berth.core.driver import ProviderVolumeType
from berth.drivers.sandbox import simulated
from berth.drivers.sandbox.config import SandboxConfig
from berth.drivers.sandbox.limits import GIB

MIN_SIZE_GB = 10
MAX_SIZE_GB = 10_240
MAX_ATTACHMENTS = 64
"""Of a volume that several instances share."""
_SHARED = "_Shared"


def measure_gb(state_dir: Path) -> int:
    """The size of the file system that volumes are on: no more than that is ever sold."""
    room = os.statvfs(state_dir)
    return room.f_blocks * room.f_frsize // GIB


def types(config: SandboxConfig, capacity_gb: int | None) -> Sequence[ProviderVolumeType]:
    """What is sold when there are `capacity_gb` to share out; None: the pretended types, without end."""
    if capacity_gb is None:
        return simulated.volume_types(max_attachments=MAX_ATTACHMENTS)
    if capacity_gb < MIN_SIZE_GB:
        return ()
    return [
        ProviderVolumeType(
            name=name,
            place=config.location,
            cost_micros_per_gb_month=0,
            price_micros_per_gb_month=config.volume_micros_per_gb_month,
            min_size_gb=MIN_SIZE_GB,
            max_size_gb=min(MAX_SIZE_GB, capacity_gb),
            is_shared=is_shared(name),
            max_attachments=max_attachments(name),
        )
        for name in (config.volume_medium, config.volume_medium + _SHARED)
    ]


def is_shared(type_name: str) -> bool:
    return _SHARED in type_name


def max_attachments(type_name: str) -> int:
    return MAX_ATTACHMENTS if is_shared(type_name) else 1
