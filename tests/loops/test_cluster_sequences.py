"""Any sequence of orders, ends, faults and deaths: no member without its cluster, and nobody pays for half of one."""

import asyncio
from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from berth.base.db import Database, Tx
from berth.core import clusters
from berth.core.clusters import Cluster
from berth.core.driver import OutcomeUnknown, Unreachable
from berth.core.errors import Refusal
from berth.loops.world import Patience
from tests import clustering, make
from tests.conftest import FakeClock
from tests.world.provider import Provider
from tests.world.world import World

OFFERS = (f"{clustering.WORKER}@FIN-03", f"{clustering.JUMP_HOST}@FIN-03")
steps = st.one_of(
    st.tuples(st.just("order"), st.just(0)),
    st.tuples(st.just("discontinue"), st.integers(0, 3)),
    st.tuples(st.sampled_from(["secretly_empty", "bad_offers"]), st.integers(0, 1)),
    st.tuples(st.sampled_from(["unknown", "unreachable", "no volume", "crash", "heal"]), st.integers(0, 5)),
    st.tuples(st.sampled_from(["dies at call", "dies at write"]), st.integers(1, 20)),
    st.tuples(st.just("live"), st.sampled_from([1, 40, 700])),
)


@settings(max_examples=12)
@given(sequence=st.lists(steps, min_size=3, max_size=12))
def test_whatever_happens_a_cluster_is_whole_or_costs_nothing(
    db: Database, clock: FakeClock, sequence: list[tuple[str, int]]
) -> None:
    asyncio.run(_live_through(db, clock, sequence))


async def _live_through(db: Database, clock: FakeClock, sequence: list[tuple[str, int]]) -> None:
    _forget(db)
    clock.advance(seconds=301)  # what an earlier example held is free again
    world = World(db, clock, clustering.provider(clock), patience=Patience(retry_most_s=120))
    await world.open_shop()
    customer = make.project(db, credit="100000")
    made: list[Cluster] = [clustering.ordered(db, customer.by)]
    for step, value in sequence:
        await _take(world, customer, made, step, value)
        world.check(at_rest=False)
    await world.calm()
    world.check()
    for cluster in made:
        world.act(clusters.discontinue, customer.by, cluster.id, world.rules)
    await world.calm()
    world.check()
    assert {clustering.now(db, cluster).cluster.status.value for cluster in made} == {"discontinued"}
    assert world.provider.alive() == []
    assert [world.free(offer) for offer in OFFERS] == [4, 4]


async def _take(world: World, customer: make.Customer, made: list[Cluster], step: str, value: int) -> None:
    if step == "order":
        with suppress(Refusal):  # sold out
            made.append(clustering.ordered(world.db, customer.by))
    elif step == "discontinue":
        world.act(clusters.discontinue, customer.by, made[value % len(made)].id, world.rules)
    elif step == "dies at call":
        world.doomed(value, is_after=value % 2 == 0)
    elif step == "dies at write":
        world.doomed_at_write(value, is_after=value % 2 == 0)
    elif step == "live":
        await world.live(value, step_s=350)
    else:
        _hurt(world.provider, step, value)


def _hurt(provider: Provider, step: str, value: int) -> None:
    if step in {"secretly_empty", "bad_offers"}:
        getattr(provider, step).add(OFFERS[value])
    elif step == "unknown":
        provider.breaks("create", OutcomeUnknown("storm"), after=value % 2 == 0)
    elif step == "unreachable":
        provider.breaks("inspect", Unreachable("storm"), times=value)
    elif step == "no volume":
        provider.breaks("create_volume", OutcomeUnknown("storm"), after=value % 2 == 0)
    elif step == "heal":
        provider.heals()
    elif alive := provider.alive():
        provider.crash(alive[value % len(alive)].handle)


def _forget(db: Database) -> None:
    tables = (
        "entries holds segments storage_segments accounts instances instance_counts claims offers volumes"
        " attachments clusters cluster_types orphans orphan_volumes"
    )
    for table in tables.split():
        db.write_now(_empty, table)


def _empty(tx: Tx, table: str) -> None:
    tx.run(f"DELETE FROM {table}")
