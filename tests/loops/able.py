"""What tests of boot disks and copies share."""

from berth.core import volumes
from berth.core.driver import Abilities
from berth.core.instances import Instance
from berth.core.volumes import Volume
from tests.world.world import World

ABLE = Abilities(volumes=True, clones_volumes=True, keeps_disks=True)
"""A provider's that keeps disks and copies volumes."""


def disk_of(world: World, instance: Instance) -> Volume:
    """The boot disk of an instance."""
    found = world.db.read_now(volumes.os_volume_of, instance.id)
    assert found is not None
    return found
