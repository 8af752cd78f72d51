"""Builders of clusters, as `make` has them of instances."""

from collections.abc import Sequence
from typing import Any

from berth.base.clock import Clock
from berth.base.db import Database
from berth.base.money import from_usd
from berth.core import clusters, keys
from berth.core.billing import Rules
from berth.core.clusters import Cluster, ClusterSpec, SharedVolume, View
from berth.core.driver import ProviderClusterType, ProviderImage, ProviderOffer, ProviderVolumeType
from berth.core.events import Actor, system
from tests import make
from tests.world.provider import Provider

WORKER = "8B200.240V"
JUMP_HOST = "CPU.4V.16G"
NAME = "16B200"
IMAGE = "ubuntu-22.04-cuda-12.9-cluster"
PRICE = "63.840001"
"""Two workers cannot pay the same of it."""


def offers(*, workers: int = 4, jump_hosts: int = 4, location: str = "FIN-03") -> list[ProviderOffer]:
    return [
        make.offer(
            WORKER, location=location, price="31.92", cost="20", free=workers, gpu_model="B200", gpu_count=8
        ),
        make.offer(
            JUMP_HOST,
            location=location,
            price="0.028",
            cost="0",
            free=jump_hosts,
            gpu_model=None,
            gpu_count=0,
        ),
    ]


def images() -> list[ProviderImage]:
    return [make.image(IMAGE, is_cluster=True, gpu_models=["B200"]), make.image()]


def volume_types(*, location: str = "FIN-03", name: str = "NVMe_Shared_Cluster") -> list[ProviderVolumeType]:
    kinds = [make.volume_type(name, location=location, live=False, max_attachments=64)]
    return [
        *kinds,
        make.volume_type(location=location),
        make.volume_type("HDD_Shared", location=location, max_attachments=2),
    ]


def cluster_type(
    *, workers: int = 2, location: str = "FIN-03", price: str = PRICE, name: str = NAME
) -> ProviderClusterType:
    return ProviderClusterType(
        name=name,
        place=make.PLACES[location],
        worker_offer_id=f"{WORKER}@{location}",
        worker_count=workers,
        jump_host_offer_id=f"{JUMP_HOST}@{location}",
        price_micros_per_hour=from_usd(price),
        description="2 nodes",
        details=(("InfiniBand", "3200 Gbit/s"),),
    )


def shop(db: Database, *, workers: int = 4, jump_hosts: int = 4) -> None:
    """A catalogue that sells clusters."""
    make.catalogue(
        db,
        *offers(workers=workers, jump_hosts=jump_hosts),
        images=images(),
        volume_types=volume_types(),
        cluster_types=[cluster_type()],
    )


def provider(clock: Clock, *, workers: int = 4, jump_hosts: int = 4) -> Provider:
    return Provider(
        clock,
        offers=offers(workers=workers, jump_hosts=jump_hosts),
        images=images(),
        volume_types=volume_types(),
        cluster_types=[cluster_type()],
    )


def spec(ssh_key_ids: Sequence[str], **members: Any) -> ClusterSpec:
    asked: dict[str, Any] = {
        "cluster_type": NAME,
        "image": IMAGE,
        "hostname": "trainer",
        "location": "FIN-03",
        "shared_volume": SharedVolume("team", 100),
    }
    return ClusterSpec(ssh_key_ids=ssh_key_ids, **(asked | members))


def ordered(db: Database, by: Actor, *, rules: Rules = make.RULES, **members: Any) -> Cluster:
    """An order that was accepted. Makes the SSH key where there is none."""
    known = db.read_now(keys.list_keys, by)
    key_id = known[0].id if known else make.ssh_key(db, by).id
    return db.write_now(clusters.order, by, spec([key_id], **members), rules)


def now(db: Database, cluster: Cluster) -> View:
    """As it is now."""
    return db.read_now(clusters.get, system(cluster.project, "test"), cluster.id)
