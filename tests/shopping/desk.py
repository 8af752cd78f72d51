"""A shopper API that says what it is told to: the examples of its documentation, word for word, over real HTTP."""

import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

OFFERS = """{
"offers": [
{
"id": "vastai-12345",
"provider": "vastai",
"provider_id": "12345",
"gpu_type": "RTX 4090",
"gpu_count": 1,
"vram_gb": 24,
"price_per_hour": 0.45,
"location": "US-West",
"reliability": 0.98,
"available": true,
"max_duration_hours": 0,
"fetched_at": "2026-01-29T12:00:00Z",
"cuda_version": 13.0
}
],
"count": 1,
"total": 150
}"""
CREATED = """{
"session": {
"id": "sess-abc123",
"consumer_id": "my-application",
"provider": "vastai",
"gpu_type": "RTX 4090",
"gpu_count": 1,
"status": "provisioning",
"ssh_host": "192.168.1.100",
"ssh_port": 22,
"ssh_user": "root",
"workload_type": "llm",
"reservation_hours": 2,
"price_per_hour": 0.45,
"disk_gb": 100,
"created_at": "2026-01-29T12:00:00Z",
"expires_at": "2026-01-29T14:00:00Z"
},
"ssh_private_key": "-----BEGIN RSA PRIVATE KEY-----\\n..."
}"""
RUNNING = """{
"id": "sess-abc123",
"consumer_id": "my-application",
"provider": "vastai",
"gpu_type": "RTX 4090",
"gpu_count": 1,
"status": "running",
"ssh_host": "192.168.1.100",
"ssh_port": 22,
"ssh_user": "root",
"workload_type": "llm",
"reservation_hours": 2,
"price_per_hour": 0.45,
"created_at": "2026-01-29T12:00:00Z",
"expires_at": "2026-01-29T14:00:00Z"
}"""
DONE = """{
"message": "session shutdown initiated",
"session_id": "sess-abc123"
}"""
EXTENDED = """{
"message": "session extended",
"session_id": "sess-abc123",
"new_expires_at": "2026-01-29T16:00:00Z"
}"""
DESTROYED = """{
"message": "session destroyed",
"session_id": "sess-abc123"
}"""
COST = """{
"session_id": "sess-abc123",
"total_cost": 1.35,
"currency": "USD"
}"""
COSTS = """{
"consumer_id": "my-application",
"total_cost": 45.67,
"session_count": 12,
"hours_used": 98.5,
"by_provider": {
"vastai": 30.00,
"tensordock": 15.67
},
"by_gpu_type": {
"RTX 4090": 25.00,
"A100": 20.67
}
}"""
STALE = """{
"error": "offer unavailable due to stale inventory",
"error_type": "stale_inventory",
"offer_id": "vastai-12345",
"provider": "vastai",
"retry_suggested": true,
"message": "The selected offer is no longer available. Please refresh inventory and select a different offer.",
"request_id": "uuid-of-request"
}"""
CUT = (0, "")
"""Taken in, and never answered."""


@dataclass
class Asked:
    """One request as it came."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass
class Desk:
    """What is answered, by method and path: one after the other, the last one from then on."""

    url: str = ""
    answers: dict[str, list[tuple[int, str]]] = field(default_factory=lambda: defaultdict(list))
    asked: list[Asked] = field(default_factory=list)

    def says(self, what: str, *answers: tuple[int, str]) -> None:
        self.answers[what] = list(answers)

    def next(self, what: str) -> tuple[int, str]:
        known = self.answers.get(what)
        if not known:
            return 404, json.dumps({"error": f"nothing is said of {what}", "request_id": "r"})
        return known.pop(0) if len(known) > 1 else known[0]

    def bodies(self, method: str, path: str) -> list[Any]:
        return [asked.body for asked in self.asked if (asked.method, asked.path) == (method, path)]


@contextmanager
def opened() -> Iterator[Desk]:
    desk = Desk()

    class Handler(BaseHTTPRequestHandler):
        def handle_one(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            sent = self.rfile.read(length)
            address = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(address.query).items()}
            body = json.loads(sent) if sent else None
            desk.asked.append(Asked(self.command, address.path, query, dict(self.headers.items()), body))
            status, text = desk.next(f"{self.command} {address.path}")
            if not status:
                self.close_connection = True
                return
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST = do_DELETE = handle_one  # noqa: N815 - what the standard library looks for

        def log_message(self, *_: Any) -> None:
            """Nobody reads it."""

    service = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving = threading.Thread(target=service.serve_forever, kwargs={"poll_interval": 0.02})
    serving.start()
    desk.url = f"http://127.0.0.1:{service.server_address[1]}"
    try:
        yield desk
    finally:
        service.shutdown()
        serving.join()
        service.server_close()
