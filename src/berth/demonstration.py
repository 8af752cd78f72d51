"""`berth demo`: the quick start, walked for real against a server of its own, as a customer would.

Everything goes over HTTP and SSH; nothing here knows how Berth works inside. What it started it ends.
"""

import asyncio
import contextlib
import json
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncssh
from rich.console import Console
from rich.table import Table

from berth import app
from berth.base import money
from berth.settings import Settings

_CLUSTER_TYPE = "1H100.80S.30V"
_IMAGE = "ubuntu-22.04-cuda-12.4-cluster"
_LOCATION = "FIN-01"
_READY_S = 60.0
_STATUS_S = 90.0
_POLL_S = 0.1
_POLL_MOST_S = 1.0
"""One deployment may be asked for once a second."""
_console = Console()


class DemoFailed(Exception):
    """A step did not do what the quick start promises."""


class Api:
    """The retail API, called with the standard library alone."""

    def __init__(self, base_url: str, api_key: str) -> None:
        self._base_url = base_url
        self._headers = {"X-API-Key": api_key, "Content-Type": "application/json"}

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The `data` of the answer. Raises DemoFailed with the answer's own error."""
        request = urllib.request.Request(  # noqa: S310 - always our own http://127.0.0.1
            self._base_url + path,
            method=method,
            headers=self._headers,
            data=None if body is None else json.dumps(body).encode(),
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                return json.load(answer, parse_float=Decimal)["data"]
        except urllib.error.HTTPError as error:
            raise DemoFailed(
                f"{method} {path}: {error.code} {error.read().decode(errors='replace')}"
            ) from error

    def wait(self, deployment_id: str, status: str) -> Any:
        """Polls until the deployment has `status`."""
        ends_at = time.monotonic() + _STATUS_S
        pause_s = _POLL_S
        with _console.status(f"waiting for [b]{status}[/b]"):
            while True:
                deployment = self.call("GET", f"/deployments/{deployment_id}")
                if deployment["status"] == status:
                    return deployment
                if deployment["status"] in {"error", "failed_no_capacity"} or time.monotonic() > ends_at:
                    raise DemoFailed(
                        f"{deployment['status']} instead of {status}: {deployment['status_reason']}"
                    )
                time.sleep(pause_s)
                pause_s = min(_POLL_MOST_S, 2 * pause_s)


def run() -> int:
    """Walks the quick start; returns the exit status."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="berth-demo-") as directory:
        try:
            with _server(Path(directory)) as api:
                _walk(api)
        except DemoFailed as error:
            _console.print(f"[red]The demo failed:[/red] {error}", highlight=False)
            return 1
        finally:
            asyncio.run(_leave_nothing(Path(directory)))
    _console.print(f"\nDone in {time.monotonic() - started:.1f} s. `make serve` starts a server that stays.")
    return 0


def _walk(api: Api) -> None:
    key = asyncssh.generate_private_key("ssh-ed25519", comment="demo")
    before = api.call("GET", "/billing/balance")
    _say(1, "Balance", f"${before['balance_usd']} of credit")
    offers = api.call("GET", "/gpus/available?limit=100")
    _show_offers(offers)
    ssh_key = api.call(
        "POST", "/ssh-keys", {"name": "demo", "public_key": key.export_public_key().decode().strip()}
    )
    _say(3, "SSH key", ssh_key["fingerprint"])
    images = api.call("GET", f"/images?cluster_type={_CLUSTER_TYPE}")
    _say(4, "Images", f"{len(images)} fit {_CLUSTER_TYPE}")
    order = {
        "cluster_type": _CLUSTER_TYPE,
        "image": _IMAGE,
        "hostname": "my-training-run",
        "ssh_key_ids": [ssh_key["id"]],
        "location": _LOCATION,
    }
    deployment_id = api.call("POST", "/deployments/clusters", order)["id"]
    try:
        _use(api, deployment_id, key)
    finally:
        api.call("DELETE", f"/deployments/{deployment_id}")
    api.wait(deployment_id, "deleted")
    _say(9, "Deleted", "confirmed by the provider")
    _receipt(api, deployment_id, before["balance_micros"])


def _use(api: Api, deployment_id: str, key: asyncssh.SSHKey) -> None:
    running = api.wait(deployment_id, "running")
    _say(5, "Deployed", f"{deployment_id} is running: {running['ssh_command']}")
    _say(6, "SSH", _ssh(running, key, 'echo kept over a stop > note; echo "$(hostname): $(uname -sr)"'))
    api.call("POST", f"/deployments/{deployment_id}/actions", {"action": "stop"})
    api.wait(deployment_id, "offline")
    _say(7, "Stopped", "the clock stands still")
    api.call("POST", f"/deployments/{deployment_id}/actions", {"action": "start"})
    running = api.wait(deployment_id, "running")
    _say(8, "Started", f"the disk is the same: “{_ssh(running, key, 'cat note')}”")


def _ssh(deployment: Mapping[str, Any], key: asyncssh.SSHKey, command: str) -> str:
    """Logs in with the key and runs one command."""
    return asyncio.run(_ssh_async(deployment, key, command))


async def _ssh_async(deployment: Mapping[str, Any], key: asyncssh.SSHKey, command: str) -> str:
    try:
        async with asyncio.timeout(30):
            connection = await asyncssh.connect(
                deployment["ip"],
                deployment["ssh_port"],
                username=deployment["ssh_user"],
                client_keys=[key],
                known_hosts=None,
                config=None,
            )
            async with connection:
                done = await connection.run(command, check=True)
    except (OSError, asyncssh.Error, TimeoutError) as error:
        raise DemoFailed(f"SSH: {error!r}") from error
    return str(done.stdout).strip()


def _receipt(api: Api, deployment_id: str, before_micros: int) -> None:
    bill = api.call("GET", f"/deployments/{deployment_id}")["billing"]
    after = api.call("GET", "/billing/balance")
    paid = before_micros - after["balance_micros"]
    if money.usd(paid) != bill["total_usd"]:
        raise DemoFailed(f"the receipt says ${bill['total_usd']}, the balance fell by {money.show(paid)}")
    table = Table(title=f"Receipt for {deployment_id}", show_header=False)
    table.add_row("type", f"{_CLUSTER_TYPE} in {_LOCATION}")
    table.add_row("price", f"${bill['price_per_hr']} an hour, by the second")
    table.add_row("used", f"{bill['billed_seconds']} s")
    table.add_row("paid", f"{money.show(paid)} (ten minutes are the minimum)")
    table.add_row("balance", f"${after['balance_usd']}")
    _console.print(table)


def _show_offers(offers: list[dict[str, Any]]) -> None:
    _say(2, "Offers", f"{len(offers)} types can be had now")
    table = Table("type", "GPU", "vCPU", "RAM", "$/h", "regions")
    for offer in offers[:6]:
        gpu = f"{offer['gpu_count']} × {offer['gpu_model']}" if offer["gpu_model"] else "–"
        table.add_row(
            offer["instance_type"],
            gpu,
            str(offer["vcpu_count"]),
            f"{offer['ram_gb']} GB",
            str(offer["price_per_hr"]),
            ", ".join(offer["regions"]),
        )
    _console.print(table)
    _console.print(
        "[dim]The catalogue is simulated: instances are sandboxes on this machine, without GPUs.[/dim]"
    )


def _say(step: int, what: str, detail: str) -> None:
    _console.print(f"[green]{step}[/green] [b]{what}[/b]  {detail}", highlight=False)


@contextlib.contextmanager
def _server(directory: Path) -> Iterator[Api]:
    """A server of the demo's own, on a free port, with everything below `directory`."""
    port = _free_port()
    log_path = directory / "serve.log"
    command = [sys.executable, "-m", "berth", "serve", "--simulate"]
    with log_path.open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own command
            [*command, "--port", str(port), "--data-dir", str(directory)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        with _console.status("starting Berth"):
            _wait_until_ready(process, port, log_path)
        credentials = json.loads((directory / "credentials.json").read_text(encoding="utf-8"))
        yield Api(f"http://127.0.0.1:{port}/api/v1", credentials["api_key"])
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=40)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(process: "subprocess.Popen[bytes]", port: int, log_path: Path) -> None:
    ends_at = time.monotonic() + _READY_S
    while time.monotonic() < ends_at and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(_POLL_S)
    raise DemoFailed(
        f"the server did not start:\n{log_path.read_text(encoding='utf-8', errors='replace')[-3000:]}"
    )


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


async def _leave_nothing(directory: Path) -> None:
    """Destroys what an interrupted walk left: the server that would have done it is gone."""
    settings = Settings(data_dir=directory, simulate=True)
    if not (directory / "berth.sqlite3").exists():
        return
    process = app.build(settings)
    for driver in process.drivers.values():
        for sighting in (await driver.list_own(process.runner.world.install_id)).sightings:
            await driver.destroy(sighting.handle)
    await process.stop()
