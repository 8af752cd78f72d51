"""The TensorDock driver over the stand-in of its service."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from berth.base import clock, ids
from berth.core.driver import CreateOrder, Hardware, Label, Power, Sighting, VolumeOrder
from berth.drivers.tensordock import TensorDockConfig, TensorDockDriver
from tests.drivers.tensordock.service import TOKEN, Machine, Service, serving
from tests.drivers.tensordock.stock import DALLAS, RTX4090

INSTALL_ID = "0a1b2c3d4e"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f test@example"
IMAGE = "ubuntu2404_ml_everything"


class Ticking:
    """Seconds that pass only when somebody waits."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


class TensorDockRig:
    def __init__(self, service: Service, base_url: str, install_id: str = INSTALL_ID) -> None:
        self.service = service
        self.base_url = base_url
        self.install_id = install_id
        self.clock = Ticking()

    def driver(self, *, api_token: str = TOKEN, timeout_s: float = 10.0) -> TensorDockDriver:
        config = TensorDockConfig(self.base_url, api_token, timeout_s=timeout_s)
        return TensorDockDriver(config, clock=self.clock, sleep=self.clock.sleep)

    def order(self) -> CreateOrder:
        return CreateOrder(
            label=Label(self.install_id, ids.new(clock.SystemClock().now())),
            provider_offer_id=f"{DALLAS}-{RTX4090}",
            hardware=Hardware("1RTX4090.24V", "RTX 4090", 1, 24, 8, 32, 100),
            hostname="trainer",
            image_slug=IMAGE,
            ssh_user="root",
            location="US",
            ssh_public_keys=[KEY],
            os_volume_gb=100,
        )

    def volume(self, *, is_shared: bool = False) -> VolumeOrder:
        raise AssertionError(f"no volumes are sold here, shared or not ({is_shared})")

    async def run(self, _sighting: Sighting, _command: str) -> str | None:
        return None


@asynccontextmanager
async def open_tensordock(_directory: Path | None = None) -> AsyncIterator[TensorDockRig]:
    service = Service()
    async with serving(service) as base_url:
        yield TensorDockRig(service, base_url)


def over(test: Callable[[TensorDockRig, TensorDockDriver], Awaitable[None]]) -> None:
    """Runs `test` with a driver over a stand-in of its own, within a limit."""

    async def whole() -> None:
        async with open_tensordock() as rig:
            driver = rig.driver()
            try:
                await asyncio.wait_for(test(rig, driver), 20)
            finally:
                await driver.close()

    asyncio.run(whole())


async def until(driver: TensorDockDriver, label: Label, power: Power) -> Sighting:
    for _ in range(10):
        sighting = await driver.inspect(label, None)
        if sighting is not None and sighting.power is power:
            return sighting
    raise AssertionError(f"{label} is not {power}")


def only(rig: TensorDockRig) -> Machine:
    """The one virtual machine that is there."""
    (machine,) = rig.service.there()
    return machine
