"""What a provider is told of an instance, and how long it may take over it."""

from berth.base.db import Tx
from berth.core import catalog, events
from berth.core.driver import CreateOrder, Hardware
from berth.core.instances import storage
from berth.core.instances.model import Instance

_ACTOR = "loop:provisioning"


def boot_timeout_s(tx: Tx, instance: Instance) -> int:
    """How long this type may take from create to a reachable SSH server."""
    return catalog.get_type(
        tx, events.system(instance.project, _ACTOR), instance.instance_type
    ).boot_timeout_s


def create_order(tx: Tx, instance: Instance, *, install_id: str) -> CreateOrder:
    """What the provider is told, put together from what was ordered."""
    offer = catalog.known_offer(tx, instance.offer_id)
    disk = storage.disk_of(tx, instance)
    specs = instance.specs
    return CreateOrder(
        label=instance.label(install_id),
        provider_offer_id=offer.provider_offer_id,
        hardware=Hardware(
            instance.instance_type,
            specs.gpu_model,
            specs.gpu_count,
            specs.gpu_vram_gb,
            specs.vcpu_count,
            specs.ram_gb,
            specs.storage_gb,
        ),
        hostname=instance.hostname,
        image_slug=instance.image_slug,
        ssh_user=instance.ssh_user,
        location=instance.location,
        ssh_public_keys=instance.ssh_public_keys,
        os_volume_gb=instance.os_volume_gb,
        startup_script=instance.startup_script,
        is_spot=instance.is_spot,
        mounts=storage.mounts(tx, instance),
        disk_label=None if disk is None else disk.label(install_id),
        boot_volume=None if disk is None or instance.boot_volume_id is None else disk.handle,
    )
