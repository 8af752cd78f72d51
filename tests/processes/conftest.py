"""Fixtures for real servers: whatever a test leaves behind is ended here."""

import asyncio
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import asyncssh
import pytest

from berth import app
from berth.settings import Settings
from tests.processes.running import Server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server that is not started yet. Its instances are destroyed afterwards, its process is ended."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    with ended(Server(tmp_path, first_ssh_port=26000 + 100 * worker)) as running:
        yield running


@contextlib.contextmanager
def ended(server: Server) -> Iterator[Server]:
    """Ends the server and destroys what runs in its sandboxes, whatever happened."""
    try:
        yield server
    finally:
        if server.process is not None:
            if server.process.poll() is None:
                server.process.kill()
            server.process.wait()
        if (server.directory / "sandbox").exists():
            asyncio.run(_destroy_all(server))


@pytest.fixture(scope="session")
def login_key() -> asyncssh.SSHKey:
    return asyncssh.generate_private_key("ssh-ed25519", comment="test")


async def _destroy_all(server: Server) -> None:
    process = app.build(Settings(data_dir=server.directory, simulate=True, database_url=server.database_url))
    for driver in process.drivers.values():
        for sighting in (await driver.list_own(process.runner.world.install_id)).sightings:
            await driver.destroy(sighting.handle)
    await process.stop()
