"""The Verda driver over the stand-in of its service."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from berth.base import clock, ids
from berth.core.driver import CreateOrder, Hardware, Label, Sighting, VolumeOrder
from berth.drivers.verda import VerdaConfig, VerdaDriver
from tests.drivers.verda.service import CLIENT_ID, CLIENT_SECRET, Service, serving

INSTALL_ID = "0a1b2c3d4e"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f test@example"


class Ticking:
    """Seconds that pass only when somebody waits."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


class VerdaRig:
    def __init__(self, service: Service, base_url: str) -> None:
        self.service = service
        self.base_url = base_url
        self.install_id = INSTALL_ID
        self.clock = Ticking()

    def driver(self, *, client_secret: str = CLIENT_SECRET) -> VerdaDriver:
        config = VerdaConfig(self.base_url, CLIENT_ID, client_secret, units=1)
        return VerdaDriver(config, clock=self.clock, sleep=self.clock.sleep)

    def order(self) -> CreateOrder:
        return CreateOrder(
            label=self._label(),
            provider_offer_id="1H100.80S.22V@FIN-01",
            hardware=Hardware("1H100.80S.22V", "H100", 1, 80, 22, 187, 0),
            hostname="trainer",
            image_slug="ubuntu-24.04",
            ssh_user="root",
            location="FIN-01",
            ssh_public_keys=[KEY],
            os_volume_gb=50,
        )

    def volume(self, *, is_shared: bool = False) -> VolumeOrder:
        return VolumeOrder(self._label(), "data", "NVMe_Shared" if is_shared else "NVMe", 10, "FIN-01")

    async def run(self, _sighting: Sighting, _command: str) -> str | None:
        return None

    def _label(self) -> Label:
        return Label(self.install_id, ids.new(clock.SystemClock().now()))


@asynccontextmanager
async def open_verda(_directory: Path | None = None, *, stock: int = 1000) -> AsyncIterator[VerdaRig]:
    service = Service(stock=stock)
    async with serving(service) as base_url:
        yield VerdaRig(service, base_url)
