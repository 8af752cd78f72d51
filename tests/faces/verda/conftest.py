"""The IaaS API in this process, a customer with an access token, and something to buy."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from berth.base import ids
from berth.base.db import Database
from berth.core import catalog, instances, volumes
from berth.core.driver import Abilities
from berth.core.instances import Instance
from berth.faces import verda
from berth.faces.face import Context
from berth.faces.verda.oauth import tokens
from tests import make
from tests.conftest import FakeClock
from tests.faces.conftest import Body, Client, Response

PREFIX = "/v1"
CPU = "CPU.4V.16G"
KEEPS = Abilities(
    stop_keeps_hardware=True, volumes=True, volumes_attach_live=True, keeps_disks=True, clones_volumes=True
)
UNKNOWN_ID = "01a214d8-aa58-cb15-d9c4-38b83eec7e18"
NOT_IDS = [
    "nothing",
    "'",
    '"',
    "a'b--",
    "a/b",
    "é",
    "%00",
    "..",
    "0" * 32,
    UNKNOWN_ID[:-1],
    UNKNOWN_ID + "0",
    f'"{UNKNOWN_ID}"',
    f"{{{UNKNOWN_ID}}}",
    "x" * 300,
]
"""What is no UUID, and must be looked for in vain wherever one stands."""


class Caller(Client):
    """Speaks to the API with an access token in place of a key."""

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | str | None = None,
        body: Body = None,
        headers: Mapping[str, str] | None = None,
        chunks: int = 1,
        is_cut_off: bool = False,
    ) -> Response:
        sent = dict(headers or {})
        if self.key is not None and "authorization" not in sent:
            sent["authorization"] = f"Bearer {self.key}"
        return await super().call(
            method, path, query=query, body=body, headers=sent, chunks=chunks, is_cut_off=is_cut_off
        )

    def with_key(self, key: str | None) -> "Caller":
        return Caller(self.app, key, self.prefix, self.address)


@dataclass
class Cloud:
    """The API over a database, and a customer with 500 dollars."""

    db: Database
    clock: FakeClock
    context: Context
    customer: make.Customer
    client: Caller
    pokes: list[str]

    def token(
        self, customer: make.Customer | None = None, *, scope: str = tokens.SCOPE, use: Any = "access"
    ) -> str:
        client_id = (customer or self.customer).client_id
        return tokens.issue(make.PEPPER, client_id, use, scope=scope, now=self.clock.now())

    def under(self, **members: Any) -> Caller:
        """The same API in a process of its own, with other members of its context."""
        return Caller(verda.build(replace(self.context, **members)), self.token(), PREFIX)

    def stranger(self) -> tuple[make.Customer, Caller]:
        other = make.project(self.db)
        return other, self.client.with_key(self.token(other))

    async def ssh_key(self) -> str:
        made = await self.client.post("/ssh-keys", {"name": "laptop", "key": make.public_key()})
        assert made.status == 201, made.content
        return made.content.decode()

    async def order(self, **members: Any) -> dict[str, Any]:
        """The body of a deploy that is accepted. Members that are None are left out."""
        known: dict[str, Any] = {
            "instance_type": make.H100,
            "image": "ubuntu-24.04",
            "hostname": "my-training-run",
            "description": "",
            "location_code": "FIN-01",
        }
        if "ssh_key_ids" not in members:
            members["ssh_key_ids"] = [await self.ssh_key()]
        return {name: value for name, value in (known | members).items() if value is not None}

    def instance(self, status: str = "running", **members: Any) -> Instance:
        """One that is shown as what it is: it was ordered a while ago."""
        made = make.instance(
            self.db, "running" if status == "offline" else status, self.customer.by, **members
        )
        if status in {"running", "offline"}:
            seen = replace(make.sighting(made), disk_handle=f"disk-of-{made.id}")
            made = make.seen(self.db, made, instances.look_again, retry_s=1, sighting=seen)
        if status == "offline":
            # As this API switches off: the hardware stays.
            self.db.write_now(instances.stop, self.customer.by, made.id, keep_reserved=True)
            made = make.seen(self.db, made, instances.stopped, releases_hardware=False)
        self.clock.advance(seconds=60)
        return made

    def volume(self, status: str = "detached", **members: Any) -> volumes.Volume:
        return make.volume(self.db, status, self.customer.by, **members)


def uuid(core_id: str) -> str:
    return ids.to_uuid(core_id)


def core(shown_id: str) -> str:
    """The core id behind a UUID that was answered, bare or as a member."""
    found = ids.of_uuid(shown_id)
    assert found is not None, shown_id
    return found


def bare(response: Response, status: int) -> str:
    """A bare id as the whole body."""
    assert response.status == status, response.content
    text = response.content.decode()
    assert ids.of_uuid(text) is not None, text
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    return text


def refused(response: Response, status: int, code: str, message: str | None = None) -> str:
    """The body of a refusal, which must be this one and no more; its message."""
    assert response.status == status, response.content
    assert response.headers["content-type"] == "application/json"
    problem = response.json
    assert set(problem) == {"code", "message"}
    assert problem["code"] == code, problem
    assert isinstance(problem["message"], str)
    assert problem["message"]
    if message is not None:
        assert problem["message"] == message
    told: str = problem["message"]
    return told


@pytest.fixture
def cloud(db: Database, clock: FakeClock) -> Cloud:
    pokes: list[str] = []
    context = Context(
        db=db,
        clock=clock,
        pepper=make.PEPPER,
        rules=make.RULES,
        poke=pokes.append,
        version="0.0.0-test",
        body_limit=64 * 1024,
    )
    stock(db)
    customer = make.project(db, credit="500")
    cloud = Cloud(db, clock, context, customer, Caller(verda.build(context), None, PREFIX), pokes)
    cloud.client.key = cloud.token()
    return cloud


def stock(db: Database) -> None:
    db.write_now(catalog.introduce, make.PROVIDER, KEEPS)
    make.catalogue(
        db,
        make.offer(free=8, spot_price="0.6"),
        make.offer("1A100.22V", location="FIN-03", price="0.965", gpu_model="A100"),
        make.offer(
            "8H200.141S.176V",
            location="ICE-01",
            price="32",
            gpu_model="H200",
            gpu_count=8,
            gpu_vram_gb=141,
            free=0,
        ),
        make.offer(
            CPU, location="FIN-03", price="0.028", gpu_model=None, gpu_count=0, gpu_vram_gb=0, free=20
        ),
        images=[
            make.image(),
            make.image("cuda-h100", gpu_models=["H100"], min_os_volume_gb=60),
            make.image("ubuntu-22.04-cuda-12.9-cluster", gpu_models=["H200"], is_cluster=True),
        ],
        volume_types=[
            make.volume_type(),
            make.volume_type(location="FIN-03"),
            make.volume_type("NVMe_Shared", max_attachments=4),
        ],
    )
