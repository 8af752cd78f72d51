"""Customers who spent something, and lists read to their end."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from berth.core import billing, instances
from tests import make
from tests.faces.conftest import Client, Response, Shop

START = "2026-04-03T10:00:00Z"


def worked_example(shop: Shop) -> str:
    """The published one: 1.71 an hour, deleted at 25:30. Its id."""
    made = make.instance(shop.db, by=shop.customer.by)
    for seconds in (600, 600):
        shop.clock.advance(seconds=seconds)
        shop.db.write_now(billing.sweep)
    shop.clock.advance(seconds=330)
    shop.db.write_now(instances.delete, shop.customer.by, made.id, make.RULES)
    return f"dep_{made.id}"


def volume(shop: Shop, subject: str = "VOLUME", *, seconds: int = 5000) -> None:
    shop.db.write_now(billing.start_storage, shop.customer.id, subject, 20_000_000)
    shop.clock.advance(seconds=seconds)
    shop.db.write_now(billing.finish_storage, shop.customer.id, subject, shop.clock.now())


async def pages(client: Client, path: str, **query: Any) -> AsyncIterator[Response]:
    """Every page of a list, a cursor at a time."""
    for _ in range(100):
        response = await client.get(path, **query)
        yield response
        if not response.meta["has_more"]:
            assert response.meta["cursor"] is None
            return
        query["cursor"] = response.meta["cursor"]
    pytest.fail("the list does not end")


async def all_rows(client: Client, path: str, **query: Any) -> list[Any]:
    return [row async for page in pages(client, path, **query) for row in page.data]
