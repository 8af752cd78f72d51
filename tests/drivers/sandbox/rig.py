"""A sandbox for tests: a state directory, a range of ports of its own, and the end of all it started."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncssh

from berth.base import clock, ids
from berth.core.driver import CreateOrder, Label, ProviderOffer, Sighting, VolumeOrder
from berth.drivers.sandbox import SandboxConfig, SandboxDriver, launch, limits, process, simulated

LOGIN_LIMIT_S = 20.0
TEST_LIMIT_S = 90.0
PORTS_PER_WORKER = 100
INSTALL_ID = "test1"


class SandboxRig:
    def __init__(self, state_dir: Path, **settings: Any) -> None:
        # The base directory of a test may be long gone when the numbers of its worker are used again.
        worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
        first_port = 24_000 + worker * PORTS_PER_WORKER
        self.install_id = f"{INSTALL_ID}{os.getpid()}"
        self.key = asyncssh.generate_private_key("ssh-ed25519")
        config = SandboxConfig(
            state_dir=state_dir,
            install_id=self.install_id,
            simulate=True,
            first_port=first_port,
            last_port=first_port + PORTS_PER_WORKER - 1,
        )
        self.config = replace(config, **settings)

    def driver(self) -> SandboxDriver:
        return SandboxDriver(self.config)

    def order(self, **changes: Any) -> CreateOrder:
        offer = offered("1H100.80S.30V@FIN-01")
        order = CreateOrder(
            label=Label(self.install_id, ids.new(clock.SystemClock().now())),
            provider_offer_id=offer.provider_offer_id,
            hardware=offer.hardware,
            hostname="trainer",
            image_slug="ubuntu-22.04-cuda-12.4-cluster",
            ssh_user="root",
            location=offer.place.code,
            ssh_public_keys=[self.key.export_public_key().decode()],
            os_volume_gb=50,
        )
        return replace(order, **changes)

    def volume(self, *, is_shared: bool = False, **changes: Any) -> VolumeOrder:
        order = VolumeOrder(
            label=Label(self.install_id, ids.new(clock.SystemClock().now())),
            name="data",
            type="NVMe_Shared" if is_shared else "NVMe",
            size_gb=10,
            location="FIN-01",
        )
        return replace(order, **changes)

    async def connect(
        self, sighting: Sighting, *, username: str = "root", key: asyncssh.SSHKey | None = None
    ) -> asyncssh.SSHClientConnection:
        """Logs in, as soon as the server answers and within a limit. A refused key is raised."""
        deadline = time.monotonic() + LOGIN_LIMIT_S
        while True:
            try:
                return await asyncssh.connect(
                    str(sighting.ip),
                    sighting.ssh_port or 22,
                    username=username,
                    client_keys=[key or self.key],
                    known_hosts=None,
                    config=None,
                    agent_path=None,
                    login_timeout=LOGIN_LIMIT_S,
                )
            except asyncssh.PermissionDenied:
                raise
            except (OSError, asyncssh.Error):
                assert time.monotonic() < deadline, f"no login at {sighting}"
                await asyncio.sleep(0.02)

    async def run(self, sighting: Sighting, command: str) -> str:
        connection = await self.connect(sighting)
        try:
            answer = await connection.run(command, check=True)
            return str(answer.stdout)
        finally:
            connection.close()
            await connection.wait_closed()

    def end_everything(self) -> None:
        """Ends every process that carries this rig's label, whatever the driver under test made of it."""
        for found in process.scan(self.install_id).values():
            process.end(found.identity, grace_s=0)
            launch.reap(expected_pid=found.outer_pid)
            limits.leave(limits.find_control_groups(), str(Label(self.install_id, found.instance_id)))


@asynccontextmanager
async def open_sandbox(tmp_path: Path, **settings: Any) -> AsyncIterator[SandboxRig]:
    rig = SandboxRig(tmp_path / "sandbox", **settings)
    try:
        yield rig
    finally:
        await asyncio.to_thread(rig.end_everything)


def offered(offer_id: str) -> ProviderOffer:
    """An offer of the simulated catalogue."""
    return next(offer for offer in simulated.offers([]) if offer.provider_offer_id == offer_id)


def in_sandbox(
    tmp_path: Path, test: Callable[[SandboxRig, SandboxDriver], Awaitable[None]], **settings: Any
) -> None:
    """Runs `test` with a driver of its own, ends what it started, and keeps a limit on the whole."""

    async def whole() -> None:
        async with open_sandbox(tmp_path, **settings) as rig:
            driver = rig.driver()
            try:
                await asyncio.wait_for(test(rig, driver), TEST_LIMIT_S)
            finally:
                await driver.close()

    asyncio.run(whole())
