"""The Vast.ai driver over the stand-in of its service."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from berth.base import clock, ids
from berth.base.clock import Instant
from berth.core.driver import CreateOrder, Hardware, Label, Sighting, VolumeOrder
from berth.drivers.vastai import VastaiConfig, VastaiDriver
from tests.drivers.vastai.account import API_KEY
from tests.drivers.vastai.offers import FIRST_ID
from tests.drivers.vastai.service import Service, serving

INSTALL_ID = "0a1b2c3d4e"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f test@example"
_FIRST_S = 1_790_000_000


class Ticking:
    """Time that passes only when somebody waits."""

    def __init__(self) -> None:
        self.passed = 0.0

    def timer(self) -> float:
        return self.passed

    def now(self) -> Instant:
        return Instant(int((_FIRST_S + self.passed) * clock.SECOND))

    async def sleep(self, seconds: float) -> None:
        self.passed += seconds


class VastaiRig:
    def __init__(self, service: Service, base_url: str, time: Ticking) -> None:
        self.service = service
        self.base_url = base_url
        self.install_id = INSTALL_ID
        self.time = time
        self._asks = iter(range(FIRST_ID, FIRST_ID + 7 * 10_000, 7))

    def driver(self, **chosen: Any) -> VastaiDriver:
        config = replace(VastaiConfig(self.base_url, API_KEY), **chosen)
        return VastaiDriver(config, clock=self.time, timer=self.time.timer, sleep=self.time.sleep)

    def order(self, **chosen: Any) -> CreateOrder:
        """For the next machine that nobody has: each can be rented once."""
        order = CreateOrder(
            label=self.label(),
            provider_offer_id=str(next(self._asks)),
            hardware=Hardware("1RTX4090.24V", "RTX 4090", 1, 24, 16, 64, 100),
            hostname="trainer",
            image_slug="ubuntu-22.04-cuda-12.6",
            ssh_user="root",
            location="US",
            ssh_public_keys=[KEY],
            os_volume_gb=50,
        )
        return replace(order, **chosen)

    def volume(self, *, is_shared: bool = False) -> VolumeOrder:
        raise AssertionError("none are sold")

    async def run(self, _sighting: Sighting, _command: str) -> str | None:
        return None

    def label(self) -> Label:
        return Label(self.install_id, ids.new(clock.SystemClock().now()))


@asynccontextmanager
async def open_vastai(_directory: Path | None = None, *, offers: int = 40) -> AsyncIterator[VastaiRig]:
    time = Ticking()
    service = Service(offers=offers, now=time.now)
    async with serving(service) as base_url:
        yield VastaiRig(service, base_url, time)
