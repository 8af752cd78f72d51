"""The shopper API in this process: an open one, called from this host, and one that wants keys."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from berth.base.clock import Instant, parse_rfc3339
from berth.base.db import Database
from berth.base.money import Micros
from berth.base.readiness import Readiness
from berth.core import catalog
from berth.core.catalog.inventory import Inventory, Listed, Seller
from berth.core.driver import Abilities
from berth.faces import shopper
from berth.faces.face import Context, KnownKeys, Policy
from tests import make, renting
from tests.conftest import FakeClock
from tests.faces.conftest import Body, Client, Response

PREFIX = ""
HOST = "127.0.0.1:8080"
HASH_ID = "a8a44c7363cbca20056020397e3bf072"
PROVIDERS = {
    "vastai": Abilities(containers=True, templates=True),
    "tensordock": Abilities(),
    "sandbox": Abilities(),
}


class Shopper(Client):
    """Speaks to the API from this host, as a plain client of it does."""

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
        sent = {"host": HOST} | dict(headers or {})
        return await super().call(
            method, path, query=query, body=body, headers=sent, chunks=chunks, is_cut_off=is_cut_off
        )

    def with_key(self, key: str | None) -> "Shopper":
        return Shopper(self.app, key, self.prefix, self.address)

    def at(self, address: str | None) -> "Shopper":
        return Shopper(self.app, self.key, self.prefix, address)


@dataclass
class Broker:
    """The API over a database. `client` needs no key and acts for `customer`, `closed` is the same where keys are needed."""

    db: Database
    clock: FakeClock
    context: Context
    customer: make.Customer
    client: Shopper
    pokes: list[str]

    @property
    def readiness(self) -> Readiness:
        return self.context.readiness

    @property
    def closed(self) -> Shopper:
        return self.under(policy=Policy())

    def under(self, **members: Any) -> Shopper:
        """The same API in a process of its own, with other members of its context."""
        alone: dict[str, Any] = {"known_keys": KnownKeys(), "in_flight": set()} | members
        return Shopper(shopper.build(replace(self.context, **alone)), None, PREFIX, "127.0.0.1")


def listed(offer_id: str = "vastai-12345", **members: Any) -> Listed:
    """An offer as it lies on the shelf; the reference's own one unless told otherwise."""
    provider, _, provider_offer_id = offer_id.partition("-")
    known: dict[str, Any] = {
        "gpu_type": "RTX 4090",
        "gpu_count": 1,
        "vram_gb": 24,
        "price": Micros(450_000),
        "location": "US-West",
        "reliability": 0.98,
        "confidence": 0.95,
        "cuda_version": 13.0,
        "fetched_at": parse_rfc3339("2026-01-29T12:00:00Z"),
        "is_available": True,
        "is_market": provider != "sandbox",
    }
    return Listed(
        id=offer_id,
        offer_id=f"offer-{offer_id}",
        provider=provider,
        provider_offer_id=provider_offer_id,
        instance_type="1RTX4090.24V",
        place="US",
        vcpu_count=8,
        ram_gb=64,
        storage_gb=100,
        cost=Micros(400_000),
        free_units=1,
        is_listed=True,
        **(known | members),
    )


OFFERS = (
    listed(),
    listed("vastai-2", price=Micros(300_000), confidence=0.9, host={"cpu_arch": "riscv64"}),
    listed(
        "vastai-3",
        gpu_type="A100",
        gpu_count=4,
        vram_gb=80,
        price=Micros(3_200_001),
        location="Iceland, IS",
        confidence=0.9,
        reliability=0.5,
        physical_host="vastai-machine-7",
        is_interruptible=True,
        min_bid=Micros(100_000),
        cuda_version=12.4,
        host={"cpu_arch": "amd64"},
    ),
    listed(
        "tensordock-4",
        gpu_type="H100",
        vram_gb=80,
        price=Micros(2_000_000),
        confidence=0.3,
        cuda_version=None,
    ),
    listed("sandbox-5", gpu_type="H100", vram_gb=80, price=Micros(1_710_000), cuda_version=None),
    listed("vastai-6", is_available=False),
)


def shelved(*offers: Listed, failing: Sequence[str] = (), at: Instant = Instant(0)) -> Inventory:
    """An inventory of these, of whose providers some could not be asked the last time."""
    sellers = [
        Seller(name, refreshed_at=at, failure="away" if name in failing else None) for name in PROVIDERS
    ]
    return Inventory(offers, sellers=sellers, taken_at=at)


def refused(response: Response, status: int, says: str = "") -> Any:
    """The body of a refusal, whose error must hold `says`."""
    assert response.status == status, response.content
    assert response.headers["content-type"] == "application/json"
    problem = response.json
    assert problem["request_id"] == response.headers["x-request-id"]
    assert problem["error"]
    assert says in problem["error"], problem
    return problem


@pytest.fixture
def broker(db: Database, clock: FakeClock) -> Broker:
    pokes: list[str] = []
    customer = make.project(db, credit="500")
    context = Context(
        db=db,
        clock=clock,
        pepper=make.PEPPER,
        rules=make.RULES,
        poke=pokes.append,
        version="0.0.0-test",
        body_limit=64 * 1024,
        policy=Policy(open_project=customer.name),
        providers=PROVIDERS,
        session_wait_s=0,
        session_keys=renting.keys,
    )
    context.shelf.inventory = shelved(*OFFERS, at=clock.now())
    db.write_now(catalog.refresh_templates, "vastai", [make.template(), make.template("b", name="Other")])
    client = Shopper(shopper.build(context), None, PREFIX, "127.0.0.1")
    return Broker(db, clock, context, customer, client, pokes)
