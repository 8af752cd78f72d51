"""Lets programs that were written for Verda loose on a server of their own: `make dstack`.

They need libraries that ours would not get along with, so they run in another Python, whose path is the argument.
"""

import asyncio
import subprocess
import sys
import tempfile
from pathlib import Path

from berth import app
from berth.settings import Settings
from tests.processes.running import Server

_WALK = Path(__file__).with_name("walk.py")
_FIRST_SSH_PORT = 27000
_LIMIT_S = 600


def main(python: str) -> int:
    with tempfile.TemporaryDirectory() as directory:
        server = Server(Path(directory), first_ssh_port=_FIRST_SSH_PORT)
        try:
            server.start()
            status = _walk(python, server)
            if status:
                sys.stderr.write(server.log())
            return status
        finally:
            if server.process is not None:
                server.stop()
            asyncio.run(_destroy_all(server))


def _walk(python: str, server: Server) -> int:
    home = server.directory / "home"
    home.mkdir()
    credentials = server.credentials()
    environment = server.environment() | {
        "HOME": str(home),
        "GPUHUNT_CATALOG_DIR": str(home),
        "SKYPILOT_DISABLE_USAGE_COLLECTION": "1",
        "VERDA_BASE_URL": f"http://127.0.0.1:{server.port}/v1",
        "VERDA_CLIENT_ID": credentials["client_id"],
        "VERDA_CLIENT_SECRET": credentials["client_secret"],
    }
    environment.pop("PYTHONPATH", None)
    return subprocess.run(
        [str(Path(python).absolute()), str(_WALK)],
        cwd=home,
        env=environment,
        stdin=subprocess.DEVNULL,
        timeout=_LIMIT_S,
        check=False,
    ).returncode


async def _destroy_all(server: Server) -> None:
    process = app.build(Settings(data_dir=server.directory, simulate=True))
    for driver in process.drivers.values():
        for sighting in (await driver.list_own(process.runner.world.install_id)).sightings:
            await driver.destroy(sighting.handle)
    await process.stop()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
