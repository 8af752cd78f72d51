"""One key, one answer: with processes that are killed, and with many at once over several replicas."""

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from berth.core import instances
from tests import make
from tests.faces import killed
from tests.faces.conftest import Shop
from tests.faces.samples import order

DEPLOY = "/deployments/clusters"
ROOT = Path(__file__).parents[2]


def deployments(shop: Shop) -> int:
    return shop.db.read_now(instances.list_page, shop.customer.by, status=None, after=None, limit=1).total


@pytest.mark.parametrize(
    ("moment", "is_done"), [(killed.BEFORE_THE_COMMIT, False), (killed.BEFORE_THE_ANSWER, True)]
)
async def test_a_killed_process_leaves_all_of_it_or_nothing(
    shop: Shop, database_url: str, moment: str, is_done: bool
) -> None:
    """Nothing is ever unknown: the record commits with the work, so a retry repeats the answer or does the work."""
    body = order(shop)
    arguments = [database_url, shop.customer.api_key, json.dumps(body), moment]
    died = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "tests.faces.killed", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert deployments(shop) == int(is_done)
    # The one that died may have been of a time to come: its clock is the real one.
    shop.clock.advance(seconds=1)
    retried = await shop.client.post(DEPLOY, body, idempotency_key="run-1")
    assert retried.data["status"] == "ordered"
    assert ("idempotent-replayed" in retried.headers) == is_done
    assert deployments(shop) == 1
    again = await shop.client.post(DEPLOY, body, idempotency_key="run-1")
    assert again.data["id"] == retried.data["id"]


@pytest.mark.parametrize("replicas", [1, 4])
async def test_of_many_at_once_over_replicas_one_works_and_none_is_lost(shop: Shop, replicas: int) -> None:
    body = order(shop)
    clients = [shop.replica() for _ in range(replicas)]
    answers = await asyncio.gather(
        *(clients[number % replicas].post(DEPLOY, body, idempotency_key="k") for number in range(16))
    )
    done = [answer for answer in answers if answer.status == 200]
    assert len({answer.content for answer in done}) == 1
    assert [("idempotent-replayed" in answer.headers) for answer in done].count(False) == 1
    for answer in answers:
        if answer.status != 200:
            answer.refused(409, "idempotency_in_flight")
            assert answer.headers["retry-after"] == "1"
    assert deployments(shop) == 1


async def test_different_requests_under_one_key_at_once_are_one_and_a_refusal(shop: Shop) -> None:
    bodies = [order(shop, hostname=f"host-{number}") for number in range(4)]
    answers = await asyncio.gather(
        *(shop.replica().post(DEPLOY, body, idempotency_key="k") for body in bodies)
    )
    assert sorted(answer.status for answer in answers) == [200, 409, 409, 409]
    for answer in answers:
        if answer.status != 200:
            assert answer.json["reason"] in {"idempotency_key_reused", "idempotency_in_flight"}
    assert deployments(shop) == 1


async def test_a_refusal_at_one_replica_frees_the_key_for_all(shop: Shop) -> None:
    make.topup(shop.db, shop.customer.by, "-40")
    body = order(shop)
    first, second = shop.replica(), shop.replica()
    (await first.post(DEPLOY, body, idempotency_key="k")).refused(402, "below_minimum")
    make.topup(shop.db, shop.customer.by, "40")
    made = await second.post(DEPLOY, body, idempotency_key="k")
    assert "idempotent-replayed" not in made.headers
    assert (await first.post(DEPLOY, body, idempotency_key="k")).content == made.content


async def test_what_is_checked_comes_in_its_order(shop: Shop) -> None:
    """Key, scope, rate, replay, members: each before the next, so that a replay works whatever the members say."""
    body = order(shop)
    first = await shop.client.post(DEPLOY, body, idempotency_key="k")
    _, secret = make.key(shop.db, shop.customer.by, scopes=["deployments:read"])
    bad = {"hostname": 1}
    (await shop.client.with_key("mk_no").post(DEPLOY, bad, idempotency_key="k")).refused(401, "invalid_key")
    (await shop.client.with_key(secret).post(DEPLOY, bad, idempotency_key="k")).refused(403, "missing_scope")
    (await shop.client.post(DEPLOY, bad, idempotency_key="k")).refused(409, "idempotency_key_reused")
    (await shop.client.post(DEPLOY, bad, idempotency_key="l")).refused(400, "invalid_field")
    assert (await shop.client.post(DEPLOY, body, idempotency_key="k")).content == first.content
