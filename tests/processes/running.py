"""A `berth serve` of one's own, and the least of an HTTP client."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_READY_S = 60.0
_STOP_S = 60.0
POLL_S = 0.05


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


@dataclass(slots=True)
class Answer:
    status: int
    body: Any
    headers: Mapping[str, str]

    @property
    def data(self) -> Any:
        assert self.status == 200, self.body
        return self.body["data"]


@dataclass(slots=True)
class Server:
    """One data directory and at most one process on it."""

    directory: Path
    first_ssh_port: int
    database_url: str | None = None
    """PostgreSQL instead of the data directory's own file."""
    port: int = field(default_factory=free_port)
    simulate: bool = True
    settings: Mapping[str, str] = field(default_factory=dict)
    """`BERTH_*` beside those that every server has."""
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        with (self.directory / "serve.log").open("ab") as log:
            self.process = self.popen(log)
        ends_at = time.monotonic() + _READY_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                assert self.process.poll() is None, self.log()
                assert time.monotonic() < ends_at, self.log()
                pause()
            else:
                return

    def popen(self, log: Any) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "berth", "serve", "--port", str(self.port)),
                *(["--simulate"] if self.simulate else []),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=self.environment(),
        )

    def berth(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Runs another `berth` command on the same data directory."""
        return subprocess.run(
            [sys.executable, "-m", "berth", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=self.environment(),
        )

    def environment(self) -> dict[str, str]:
        own = {
            "BERTH_DATA_DIR": str(self.directory),
            "BERTH_RATE_LIMITS": "off",
            "BERTH_SANDBOX_FIRST_PORT": str(self.first_ssh_port),
            "BERTH_SANDBOX_LAST_PORT": str(self.first_ssh_port + 99),
        }
        if self.database_url is not None:
            own["BERTH_DATABASE_URL"] = self.database_url
        return {**os.environ, **own, **self.settings}

    def kill(self) -> None:
        """As a power cut would, for this process alone."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Returns the exit status after SIGTERM."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=_STOP_S)

    def log(self) -> str:
        return (self.directory / "serve.log").read_text(encoding="utf-8", errors="replace")

    def credentials(self) -> dict[str, str]:
        found: dict[str, str] = json.loads((self.directory / "credentials.json").read_text(encoding="utf-8"))
        return found

    def call(
        self, method: str, path: str, body: object = None, *, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request with the default project's key."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        sent = {
            "X-API-Key": self.credentials()["api_key"],
            "Content-Type": "application/json",
            **(headers or {}),
        }
        try:
            connection.request(
                method, f"/api/v1{path}", body=None if body is None else json.dumps(body), headers=sent
            )
            answer = connection.getresponse()
            return Answer(answer.status, json.loads(answer.read()), dict(answer.getheaders()))
        finally:
            connection.close()

    def wait(self, deployment_id: str, *statuses: str, seconds: float = 60) -> Any:
        ends_at = time.monotonic() + seconds
        while True:
            deployment = self.call("GET", f"/deployments/{deployment_id}").data
            if deployment["status"] in statuses:
                return deployment
            assert time.monotonic() < ends_at, f"{deployment}\n{self.log()}"
            pause()


def pause() -> None:
    """Lets other processes get on; whoever calls this counts its turns."""
    signal.sigtimedwait([], POLL_S)
