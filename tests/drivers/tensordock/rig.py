"""The TensorDock driver over the stand-in of its service."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from berth.base import clock, ids
from berth.core.driver import CreateOrder, Hardware, Label, Sighting, VolumeOrder
from berth.drivers.tensordock import TensorDockConfig, TensorDockDriver
from tests.drivers.tensordock.service import DALLAS, RTX4090, TOKEN, Service, serving

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
