"""The shopper API in this process: an open one, called from this host, and one that wants keys."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from berth.base.db import Database
from berth.base.readiness import Readiness
from berth.faces import shopper
from berth.faces.face import Context, KnownKeys, Policy
from tests import make
from tests.conftest import FakeClock
from tests.faces.conftest import Body, Client, Response

PREFIX = ""
HOST = "127.0.0.1:8080"


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
    )
    client = Shopper(shopper.build(context), None, PREFIX, "127.0.0.1")
    return Broker(db, clock, context, customer, client, pokes)
