"""What a route does before its transaction and after it, and what is kept of that under an Idempotency-Key."""

from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from berth.base.db import Tx
from berth.core.errors import Conflict, Refusal
from berth.faces.face import Call, Edge, Face, Route, authenticate_by_key
from berth.faces.huddle import envelope, errors
from tests.faces.conftest import Client, Shop


class Body(msgspec.Struct):
    number: int


@dataclass
class Made:
    """A route that takes a secret from before its transaction through to its answer, and what it did."""

    shop: Shop
    prepared: int = 0
    handled: int = 0
    refuses: Refusal | None = None
    steps: list[str] = field(default_factory=list)

    async def prepare(self, _call: Call) -> object:
        self.steps.append("prepare")
        self.prepared += 1
        return f"secret-{self.prepared}"

    def handle(self, _tx: Tx, call: Call) -> dict[str, Any]:
        self.steps.append("handle")
        self.handled += 1
        return {"number": call.body.number}

    async def follow(self, call: Call, result: Any) -> object:
        self.steps.append("follow")
        if self.refuses is not None:
            raise self.refuses
        return result | {"secret": call.prepared}

    def client(self) -> Client:
        route = Route(
            method="POST",
            path="/things",
            handler=self.handle,
            summary="Make a thing",
            scope="deployments:write",
            body=Body,
            answer=None,
            prepare=self.prepare,
            follow=self.follow,
            redact=lambda result: {name: value for name, value in result.items() if name != "secret"},
        )
        face = Face(
            name="test",
            routes=(route,),
            authenticate=authenticate_by_key,
            render=envelope.flat,
            refuse=errors.refuse,
        )
        return Client(Edge(self.shop.context, face), self.shop.customer.api_key)


def records(shop: Shop) -> list[str]:
    return [row[0] for row in shop.db.read_now(lambda tx: tx.all("SELECT body FROM idempotency_records"))]


async def test_what_was_prepared_reaches_the_answer_and_no_record(shop: Shop) -> None:
    made = Made(shop)
    first = await made.client().post("/things", {"number": 7}, Idempotency_Key="a")
    assert first.data == {"number": 7, "secret": "secret-1"}
    assert made.steps == ["prepare", "handle", "follow"]
    (kept,) = records(shop)
    assert "secret" not in kept


async def test_a_replay_prepares_nothing_and_shows_no_secret(shop: Shop) -> None:
    made = Made(shop)
    await made.client().post("/things", {"number": 7}, Idempotency_Key="a")
    again = await made.client().post("/things", {"number": 7}, Idempotency_Key="a")
    assert again.headers["idempotent-replayed"] == "true"
    assert again.data == {"number": 7}
    assert (made.prepared, made.handled) == (1, 1)


@pytest.mark.parametrize("headers", [{}, {"Idempotency_Key": "a"}])
async def test_nothing_is_prepared_for_a_body_that_will_not_do(shop: Shop, headers: dict[str, str]) -> None:
    made = Made(shop)
    (await made.client().post("/things", {"number": "seven"}, **headers)).refused(400, "invalid_field")
    assert made.steps == []


async def test_a_refusal_after_the_work_is_the_answer_and_the_key_is_free_again(shop: Shop) -> None:
    made = Made(shop, refuses=Conflict("came_to_nothing", "It came to nothing."))
    client = made.client()
    (await client.post("/things", {"number": 7}, Idempotency_Key="a")).refused(409, "came_to_nothing")
    assert records(shop) == []
    made.refuses = None
    again = await client.post("/things", {"number": 7}, Idempotency_Key="a")
    assert again.data == {"number": 7, "secret": "secret-2"}
    assert made.handled == 2
