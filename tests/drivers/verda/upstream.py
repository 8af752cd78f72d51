"""The Verda driver over another Berth: our own API in this process, with its loops and with instances that really run."""

import asyncio
import atexit
import contextlib
import os
import re
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import uvicorn

from berth import app, operating
from berth.base import clock, ids, money, secrets
from berth.core.driver import CreateOrder, Label, Sighting, VolumeOrder
from berth.drivers.verda import VerdaConfig, VerdaDriver
from berth.process import Process
from berth.settings import Settings, read
from tests.drivers.sandbox.rig import PORTS_PER_WORKER, SandboxRig

INSTALL_ID = "0a1b2c3d4e"
CREDIT = money.Micros(10_000 * money.USD)
_FIRST_PORT = 28_000
_PAUSE_S = 0.05
_VOLUME = re.compile(r"/mnt/[a-z-]+(?=/)")
_PLACE = "/mnt/berth-*"


class _Server(uvicorn.Server):
    """Leaves the signals to whoever runs the tests."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class BerthRig:
    """One project at an upstream, as an operator has it, and the customers' key."""

    def __init__(self, process: Process, base_url: str, client: tuple[str, str]) -> None:
        self.process = process
        self.install_id = INSTALL_ID
        self._config = VerdaConfig(base_url, *client)
        self._sandbox = SandboxRig(process.settings.data_dir / "sandbox")
        self._sandbox.install_id = process.runner.world.install_id

    def driver(self) -> VerdaDriver:
        return VerdaDriver(self._config, sleep=_briefly)

    def order(self) -> CreateOrder:
        order = self._sandbox.order(image_slug="ubuntu-24.04")
        return self._sandbox.order(image_slug="ubuntu-24.04", label=self._label(), hardware=order.hardware)

    def volume(self, *, is_shared: bool = False) -> VolumeOrder:
        return self._sandbox.volume(is_shared=is_shared, label=self._label())

    async def run(self, sighting: Sighting, command: str) -> str:
        """As a customer whose provider names the places of volumes itself: looks for the one that there is."""
        if _VOLUME.search(command):
            found = await self._sandbox.run(sighting, f"ls -d {_PLACE} || true")
            if place := found.strip():
                command = _VOLUME.sub(place, command)
        return await self._sandbox.run(sighting, command)

    def end_everything(self) -> None:
        self._sandbox.end_everything()

    def _label(self) -> Label:
        return Label(self.install_id, ids.new(clock.SystemClock().now()))


async def _briefly(_seconds: float) -> None:
    await asyncio.sleep(_PAUSE_S)


def settings_of(directory: Path, **groups: Mapping[str, Any]) -> Settings:
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first_port = _FIRST_PORT + worker * PORTS_PER_WORKER
    chosen: dict[str, Any] = {
        "data_dir": directory,
        "simulate": True,
        "rate_limits": "off",
        "iaas": {"shown_provisioning_s": 0},
        "sandbox": {"first_port": first_port, "last_port": first_port + PORTS_PER_WORKER - 1},
    }
    return read({**chosen, **groups}, {})


@cache
def _migrated() -> Path:
    """An empty database at its newest schema, made once: every case begins with a copy."""
    directory = tempfile.mkdtemp(prefix="berth-upstream-")
    atexit.register(shutil.rmtree, directory)
    app.open_database(read({"data_dir": Path(directory)}, {})).close()
    return Path(directory) / "berth.sqlite3"


@asynccontextmanager
async def open_berth(directory: Path, **groups: Mapping[str, Any]) -> AsyncIterator[BerthRig]:
    settings = settings_of(directory / "upstream", **groups)
    settings.data_dir.mkdir()
    shutil.copy(_migrated(), settings.data_dir)
    process = app.build(settings)
    pepper = secrets.load_or_create(process.settings.pepper_path)
    made = process.database.write_now(operating.create, "reseller", CREDIT, pepper)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = _Server(uvicorn.Config(app.application(process), log_config=None, ws="none", lifespan="on"))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:
            assert not serving.done(), "it did not start"
            await asyncio.sleep(0.01)
        rig = BerthRig(
            process,
            f"http://127.0.0.1:{listener.getsockname()[1]}/v1",
            (made.client_id, made.client_secret),
        )
        try:
            yield rig
        finally:
            server.should_exit = True
            await serving
            await asyncio.to_thread(rig.end_everything)
