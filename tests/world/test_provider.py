"""The provider of the loops' tests keeps disks and copies volumes as a driver has to: the loops are judged by it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from berth.base import clock, ids
from berth.core.driver import Abilities, CreateOrder, Driver, Label, Sighting, VolumeOrder
from tests import make
from tests.contract.disks import DiskContract
from tests.contract.driver import OpenRig
from tests.world.provider import Provider

_ABLE = Abilities(volumes=True, volumes_attach_live=True, clones_volumes=True, keeps_disks=True)


class ProviderRig:
    install_id = "test1"

    def __init__(self) -> None:
        self._provider = Provider(clock.SystemClock(), abilities=_ABLE, is_idempotent=True)
        shared = make.volume_type("NVMe_Shared", max_attachments=64)
        self._provider.volume_types = [make.volume_type(), shared]

    def driver(self) -> Driver:
        return self._provider

    def order(self) -> CreateOrder:
        offer = self._provider.offers[0]
        return CreateOrder(
            label=self._label(),
            provider_offer_id=offer.provider_offer_id,
            hardware=offer.hardware,
            hostname="trainer",
            image_slug="ubuntu-24.04",
            ssh_user="root",
            location=offer.place.code,
            ssh_public_keys=[make.public_key()],
            os_volume_gb=50,
        )

    def volume(self, *, is_shared: bool = False) -> VolumeOrder:
        return VolumeOrder(self._label(), "data", "NVMe_Shared" if is_shared else "NVMe", 10, "FIN-01")

    async def run(self, sighting: Sighting, command: str) -> str | None:
        return None

    def _label(self) -> Label:
        return Label(self.install_id, ids.new(clock.SystemClock().now()))


@pytest.fixture
def open_rig() -> OpenRig:
    @asynccontextmanager
    async def opened() -> AsyncIterator[ProviderRig]:
        yield ProviderRig()

    return opened


class TestDisks(DiskContract):
    """Run by the one in memory."""
