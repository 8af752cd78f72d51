"""Deliveries to real receivers on loopback, by a clock turned by hand: signed, repeated, limited, never lost."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from standardwebhooks import Webhook

from berth.base.clock import HOUR, SystemClock
from berth.base.db import Database
from berth.core import events, webhooks
from berth.core.webhooks import Outcome
from berth.core.webhooks.schedule import DELAYS
from berth.loops import deliveries
from berth.loops.deliveries import Sender
from berth.loops.loop import Loop, Runner
from berth.loops.world import Letter
from tests import make
from tests.conftest import FakeClock
from tests.world import truth
from tests.world.provider import Provider
from tests.world.receiver import listening
from tests.world.world import World


@pytest.fixture
def sender(clock: FakeClock) -> Sender:
    return Sender(make.WEBHOOK_RULES, clock)


@pytest.fixture
def world(db: Database, clock: FakeClock, provider: Provider, sender: Sender) -> World:
    """One whose deliveries go out for real."""
    return World(db, clock, provider, post=sender.post)


def statuses(world: World) -> list[str]:
    return [row[0] for row in truth.rows(world.db, "SELECT status FROM deliveries ORDER BY seq")]


async def test_an_order_is_told_to_a_receiver_that_the_reference_implementation_believes(
    world: World, clock: FakeClock, sender: Sender
) -> None:
    clock.set(SystemClock().now())
    async with listening() as receiver:
        customer = await world.customer()
        _, secret = make.webhook(world.db, customer.by, "instance.*", url=receiver.url)
        made = await world.running(customer)
        await world.tick("deliveries")
        await sender.close()
    bodies = [Webhook(secret).verify(each.body, dict(each.headers)) for each in receiver.received]
    assert [body["event"] for body in bodies] == [
        "deployment.ordered",
        "deployment.provisioning",
        "deployment.running",
    ]
    assert [body["sequence"] for body in bodies] == [1, 2, 3]
    assert list(bodies[-1])[:8] == [
        "event",
        "deployment_id",
        "provider_id",
        "status",
        "cluster_type",
        "hostname",
        "image",
        "location",
    ]
    assert bodies[-1]["deployment_id"] == f"dep_{made.id}"
    assert bodies[-1]["ip"] == made.ip
    assert bodies[-1]["previous_status"] == "provisioning"
    assert {each.headers["content-type"] for each in receiver.received} == {"application/json"}
    assert statuses(world) == ["success"] * 3


def happens(world: World, by: events.Actor, count: int = 1) -> None:
    for _ in range(count):
        world.act(events.record, by, "billing.credited", subject=by.project)


async def until_quiet(world: World) -> None:
    """Turns the clock to whatever is due next, until nothing is."""
    while (due_at := world.db.read_now(webhooks.next_due)) is not None:
        world.turn(max(0, due_at - world.clock.now()) / 1_000_000)
        await world.tick("deliveries")


async def test_a_receiver_that_fails_for_a_day_is_told_when_it_is_back(
    db: Database, clock: FakeClock, provider: Provider
) -> None:
    began_at = clock.now()
    sent_at: list[int] = []

    async def post(_letter: Letter) -> Outcome:
        sent_at.append(clock.now() - began_at)
        is_back = clock.now() - began_at >= 24 * HOUR
        return Outcome(200, 1, None) if is_back else Outcome(500, 1, "refused: Answered 500.")

    world = World(db, clock, provider, post=post)
    by = make.project(db).by
    make.webhook(db, by)
    happens(world, by)
    await until_quiet(world)
    assert statuses(world) == ["success"]
    planned = [sum(DELAYS[:number]) for number in range(8)]
    assert len(sent_at) == 8
    assert all(9 * at // 10 <= sent <= 11 * at // 10 for sent, at in zip(sent_at, planned, strict=True))
    assert len({letter.body for letter in world.letters}) == 1
    assert len({letter.headers["webhook-id"] for letter in world.letters}) == 1
    assert [letter.headers["webhook-attempt"] for letter in world.letters] == [str(n) for n in range(1, 9)]
    stamps = [letter.headers["webhook-timestamp"] for letter in world.letters]
    assert len(set(stamps)) == len(stamps)


async def test_a_day_of_silence_ends_after_ten_attempts(
    db: Database, clock: FakeClock, provider: Provider
) -> None:
    async def post(_letter: Letter) -> Outcome:
        return Outcome(None, 15_000, "timeout: No answer within 15 seconds.")

    world = World(db, clock, provider, post=post)
    by = make.project(db).by
    make.webhook(db, by)
    happens(world, by)
    await until_quiet(world)
    assert statuses(world) == ["failed"]
    assert len(world.letters) == 10


async def test_one_that_is_gone_is_called_once_and_the_others_hear_of_it(
    world: World, sender: Sender
) -> None:
    by = make.project(world.db).by
    async with listening(410) as gone, listening() as other:
        make.webhook(world.db, by, "billing.*", url=gone.url)
        _, secret = make.webhook(world.db, by, "webhook.*", url=other.url)
        happens(world, by, 3)
        await until_quiet(world)
        await sender.close()
    # Those that were on their way together may all have been answered.
    assert len(gone.received) == 1
    assert [each.json["event"] for each in other.received] == ["webhook.disabled"]
    assert other.received[0].json["disabled_reason"] == "gone"
    assert other.received[0].is_signed_with(secret)
    assert statuses(world).count("skipped") >= 2


async def test_during_a_rotation_either_secret_verifies(
    world: World, sender: Sender, clock: FakeClock
) -> None:
    by = make.project(world.db).by
    async with listening() as receiver:
        webhook, first = make.webhook(world.db, by, url=receiver.url)
        _, second = world.act(
            webhooks.rotate_secret, by, webhook.id, overlap_seconds=3600, pepper=make.PEPPER
        )
        happens(world, by)
        await until_quiet(world)
        clock.advance(seconds=3600)
        happens(world, by)
        await until_quiet(world)
        await sender.close()
    both, alone = receiver.received
    assert both.is_signed_with(first)
    assert both.is_signed_with(second)
    assert not alone.is_signed_with(first)
    assert alone.is_signed_with(second)


@asynccontextmanager
async def running(world: World, *, count: int = 1) -> AsyncIterator[list[Runner]]:
    """`count` processes, each with all its workers."""
    runners: list[Runner] = []

    def poke(name: str) -> None:
        for runner in runners:
            runner.poke(name)

    for _ in range(count):
        loop = Loop("deliveries", deliveries.tick, 0.05, workers=deliveries.WORKERS)
        runners.append(Runner(replace(world.loops, poke=poke), [loop]))
    for runner in runners:
        runner.start()
    try:
        yield runners
    finally:
        for runner in runners:
            await runner.stop(grace_s=0)


async def eventually(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_so():
            await asyncio.sleep(0.01)


async def test_a_receiver_that_hangs_has_four_at_once_and_delays_nobody(world: World, sender: Sender) -> None:
    by = make.project(world.db).by

    async def hang(_request: object) -> object:
        return await asyncio.Event().wait()

    async with listening(hang) as slow, listening() as fast:  # type: ignore[arg-type]
        make.webhook(world.db, by, url=slow.url)
        happens(world, by, 20)
        make.webhook(world.db, by, url=fast.url)
        happens(world, by, 30)
        async with running(world):
            await eventually(lambda: len(fast.received) == 30)
            assert slow.most_under_way == 4
            assert fast.most_under_way <= 4
            assert len(slow.received) == 4
        await sender.close()


async def test_sixty_receivers_that_hang_at_once_delay_none_of_the_others(
    db: Database, clock: FakeClock, provider: Provider
) -> None:
    sent: Counter[str] = Counter()

    async def post(letter: Letter) -> Outcome:
        sent[letter.url] += 1
        if "slow" in letter.url:
            await asyncio.Event().wait()
        return Outcome(200, 5, None)

    world = World(db, clock, provider, post=post)
    for project in range(7):
        by = make.project(db, name=f"project-{project}").by
        for number in range(10):
            kind = "fast" if project == 6 else "slow"
            make.webhook(db, by, url=f"https://{kind}.example/{project}/{number}")
        happens(world, by, 5)
    async with running(world):
        await eventually(lambda: sum("fast" in url for url in sent.elements()) == 50)
    slow = [count for url, count in sent.items() if "slow" in url]
    assert max(slow) <= 4


async def test_two_processes_never_send_the_same_at_once_and_each_only_once(
    db: Database, clock: FakeClock, provider: Provider
) -> None:
    under_way: Counter[str] = Counter()
    sent: Counter[str] = Counter()
    most = 0

    async def post(letter: Letter) -> Outcome:
        nonlocal most
        message = letter.headers["webhook-id"]
        under_way[letter.url] += 1
        most = max(most, under_way[letter.url])
        sent[message] += 1
        await asyncio.sleep(0.005)
        under_way[letter.url] -= 1
        return Outcome(200, 5, None)

    world = World(db, clock, provider, post=post)
    by = make.project(db).by
    for number in range(3):
        make.webhook(db, by, url=f"https://receiver-{number}.example/")
    happens(world, by, 30)
    async with running(world, count=2):
        await eventually(lambda: set(statuses(world)) == {"success"})
    assert len(sent) == 90
    assert set(sent.values()) == {1}
    assert 1 < most <= 4
