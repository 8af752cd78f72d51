"""Stands in for the vendor's own command line and its MCP server: sends what they send, reads as they read.

Four lists are read from `data.data` and `data.meta`, and shown as empty where `data` is no object; six are read from
a plain array in `data`. Both headers carry the key. A write that fails on the way, with 429 or with 5xx is sent
again, up to four times, each time under a fresh Idempotency-Key unless its user named one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from tests.faces.conftest import Client, Response

ATTEMPTS = 4
NESTED = ("/gpus/available", "/deployments", "/images", "/volumes")
PLAIN = ("/deployments/requests", "/ssh-keys", "/api-keys", "/webhooks", "/regions", "/volume-types")
_minted = count(1)


class Failed(Exception):
    """What its user is shown: status, code and the request's id."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status, response.json["code"], response.headers["x-request-id"])
        self.response = response


@dataclass
class Listed:
    rows: list[dict[str, Any]]
    total: int | None = None
    next_cursor: str | None = None
    has_more: bool | None = None
    page: int | None = None
    limit: int | None = None


@dataclass
class Vendor:
    """One user of it. `lost` answers never arrive, though the request did."""

    client: Client
    lost: int = 0
    sent: list[tuple[str, str, str | None]] = field(default_factory=list)
    """Method, path and Idempotency-Key of each attempt."""

    async def list(self, path: str, **query: Any) -> Listed:
        data = (await self._send("GET", path, query=query)).get("data")
        if path in PLAIN:
            return Listed(data if isinstance(data, list) else [])
        if not isinstance(data, dict) or not isinstance(data.get("data"), list):
            return Listed([])
        meta = data.get("meta", {})
        members = ("total", "next_cursor", "has_more", "page", "limit")
        return Listed(data["data"], **{name: meta.get(name) for name in members})

    async def get(self, path: str) -> dict[str, Any]:
        data: dict[str, Any] = (await self._send("GET", path))["data"]
        return data

    async def write(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, key: str | None = None
    ) -> dict[str, Any]:
        data: dict[str, Any] = (await self._send(method, path, body=body, key=key))["data"]
        return data

    async def deploy(
        self,
        cluster_type: str,
        image: str,
        hostname: str,
        location: str,
        ssh_key: str,
        *,
        key: str | None = None,
    ) -> dict[str, Any]:
        body = {
            "cluster_type": cluster_type,
            "image": image,
            "hostname": hostname,
            "location": location,
            "ssh_key_ids": [ssh_key],
        }
        return await self.write("POST", "/deployments/clusters", body, key=key)

    async def update_webhook(
        self, webhook_id: str, *, is_active: bool = True, **members: Any
    ) -> dict[str, Any]:
        """As the MCP server does it: `is_active` goes with every update, whether its user said so or not."""
        return await self.write("PUT", f"/webhooks/{webhook_id}", {**members, "is_active": is_active})

    async def _send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        key: str | None = None,
    ) -> dict[str, Any]:
        for attempt in range(1, ATTEMPTS + 1):
            sent_key = None if method == "GET" else key or f"hudl_{next(_minted):012d}"
            self.sent.append((method, path, sent_key))
            response = await self._attempt(method, path, query, body, sent_key)
            is_last = attempt == ATTEMPTS
            if self.lost and not is_last:
                self.lost -= 1
            elif response.status == 200:
                answer: dict[str, Any] = response.json if response.content else {}
                return answer
            elif is_last or (response.status != 429 and response.status < 500):
                raise Failed(response)
        raise AssertionError("unreachable")

    async def _attempt(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None,
        body: Mapping[str, Any] | None,
        key: str | None,
    ) -> Response:
        headers = {"x-api-key": str(self.client.key), "authorization": f"Bearer {self.client.key}"}
        if key is not None:
            headers["idempotency-key"] = key
        return await self.client.call(method, path, query=query, body=body, headers=headers)
