"""Deliveries of a real server to a real receiver: killed in the middle, it loses nothing."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from standardwebhooks import Webhook

from tests import make
from tests.processes.running import Server, pause

TURNS = 600


@dataclass
class Inbox:
    """What came, and whether the next is answered."""

    port: int = 0
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    answers: threading.Event = field(default_factory=threading.Event)
    """While it is not set, whoever calls is kept waiting."""

    def wait(self, count: int, server: Server) -> None:
        for _ in range(TURNS):
            if len(self.raw) >= count:
                return
            pause()
        raise AssertionError(f"{len(self.raw)} of {count} came\n{server.log()}")


@contextmanager
def inbox() -> Iterator[Inbox]:
    kept = Inbox()
    is_over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            kept.bodies.append(json.loads(body))
            kept.headers.append({name.lower(): value for name, value in self.headers.items()})
            kept.raw.append(body)
            while not kept.answers.wait(0.05):
                if is_over.is_set():
                    return
            try:
                self.send_response(204)
                self.end_headers()
            except OSError:
                pass  # whoever asked was killed

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the library's
            """Keeps quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as receiver:
        kept.port = receiver.server_address[1]
        thread = threading.Thread(target=receiver.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield kept
        finally:
            is_over.set()
            receiver.shutdown()
            thread.join()


def deploy(server: Server) -> str:
    key = server.call("POST", "/ssh-keys", {"name": "k", "public_key": make.public_key()}).data["id"]
    body = {
        "cluster_type": make.H100,
        "image": "ubuntu-24.04",
        "hostname": "hooks",
        "ssh_key_ids": [key],
        "location": "FIN-01",
    }
    deployed: str = server.call("POST", "/deployments/clusters", body).data["id"]
    return deployed


@pytest.mark.slow
def test_killed_while_receivers_are_called_it_tells_them_everything_when_it_is_back(server: Server) -> None:
    server.settings = {"BERTH_WEBHOOKS_ALLOW_PRIVATE": "1", "BERTH_WEBHOOKS_RETRY_PERMILLE": "1"}
    server.start()
    with inbox() as kept:
        url = f"http://127.0.0.1:{kept.port}/hook"
        body = {"url": url, "events": ["deployment.*", "webhook.test"]}
        hook = server.call("POST", "/webhooks", body).data
        deployed = deploy(server)
        kept.wait(1, server)
        server.wait(deployed, "running", "error")
        server.kill()
        before = len(kept.raw)
        assert before <= 4
        kept.answers.set()
        server.start()
        kept.wait(before + 3, server)
        asked = server.call("POST", f"/webhooks/{hook['id']}/test", {}).data
        assert (asked["success"], asked["status_code"]) == (True, 204)
        log: list[dict[str, Any]] = []
        for _ in range(TURNS):
            log = server.call("GET", f"/webhooks/{hook['id']}/deliveries").data
            if all(each["status"] == "success" for each in log):
                break
            pause()
        told = [each for each in kept.bodies if each["event"] != "webhook.test"]
        events = server.call("GET", f"/deployments/{deployed}/events").data
        assert {each["id"] for each in told} == {
            each["id"] for each in events if each["type"] != "deployment.placed_again"
        }
        assert {each["status"] for each in log} == {"success"}
        # The same event again is the same message again, byte for byte.
        messages = {(each["webhook-id"], raw) for each, raw in zip(kept.headers, kept.raw, strict=True)}
        assert len(messages) == len(log) < len(kept.raw)
        for headers, raw in zip(kept.headers, kept.raw, strict=True):
            Webhook(hook["secret"]).verify(raw, headers)
    assert hook["secret"] not in server.log()
