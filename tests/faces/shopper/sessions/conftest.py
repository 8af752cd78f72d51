"""The shopper API with a provider behind it that answers as soon as it is woken: no loop runs, and nothing waits."""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest

from berth.base.db import Database
from berth.core import events, instances, sessions
from berth.core.instances import Instance, Status
from berth.faces.shopper import words
from tests import make, renting
from tests.conftest import FakeClock
from tests.faces.conftest import Response
from tests.faces.shopper.conftest import Broker, Shopper

BODY: Mapping[str, Any] = {
    "consumer_id": "my-application",
    "offer_id": renting.OFFER,
    "workload_type": "llm",
    "reservation_hours": 2,
}


@dataclass
class Provider:
    """What becomes of every order, at once when the provisioning loop would be woken."""

    db: Database
    reason: str | None = None
    """None: it makes what is ordered; else why it does not, as `place_again` takes it."""
    is_sold_out: bool = False
    is_silent: bool = False
    fails: int = 100
    """How many orders end so; those after them are made."""

    def wake(self, _loop: str) -> None:
        while not self.is_silent and (found := self.ordered()):
            self._answer(found[0])

    def _answer(self, made: Instance) -> None:
        if self.reason is None or self.fails == 0:
            make.provisioned(self.db, made)
            return
        self.fails -= 1
        make.seen(
            self.db,
            made,
            sessions.place_again,
            is_sold_out=self.is_sold_out,
            reason=self.reason,
            dice=Random(self.fails),
        )

    def ordered(self) -> list[Instance]:
        rows = self.db.read_now(lambda tx: tx.all("SELECT id FROM instances WHERE status = 'ordered'"))
        found = [self.db.read_now(instances.find, row[0]) for row in rows]
        return [made for made in found if made is not None]


@dataclass
class Desk:
    """A broker whose provider answers, and whoever asks it."""

    broker: Broker
    provider: Provider
    client: Shopper
    other: Shopper
    """The same API in what might be another process."""

    @property
    def db(self) -> Database:
        return self.broker.db

    @property
    def clock(self) -> FakeClock:
        return self.broker.clock

    async def create(self, **members: Any) -> Response:
        return await self.client.post("/api/v1/sessions", {**BODY, **members})

    async def created(self, **members: Any) -> Any:
        """The session of one that was accepted."""
        response = await self.create(**members)
        assert response.status == 201, response.content
        return response.json["session"]

    async def running(self, **members: Any) -> Any:
        """A session that somebody can log in to."""
        session = await self.created(**members)
        self.runs(session["id"])
        return await self.session(session["id"])

    async def session(self, session_id: str) -> Any:
        response = await self.client.get(f"/api/v1/sessions/{session_id}")
        assert response.status == 200, response.content
        return response.json

    def instance(self, session_id: str) -> Instance:
        found = self.db.read_now(instances.find, words.instance_id(session_id))
        assert found is not None
        return found

    def runs(self, session_id: str) -> None:
        renting.runs(self.db, self.instance(session_id))

    def gone(self, session_id: str) -> None:
        """Its provider says that it is no more."""
        made = self.instance(session_id)
        if made.status is not Status.DELETED:
            make.seen(self.db, made, instances.gone, make.RULES)

    def system(self) -> events.Actor:
        return events.system(self.broker.customer.id, "test")


@pytest.fixture
def desk(broker: Broker) -> Desk:
    """The broker of two offers of vastai and one of tensordock."""
    renting.stock(broker.db)
    provider = Provider(broker.db)
    members: dict[str, Any] = {"poke": provider.wake, "session_wait_s": 0, "session_keys": renting.keys}
    return Desk(broker, provider, broker.under(**members), broker.under(**members))
