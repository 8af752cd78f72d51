"""A host is emptied under a running Berth: what its customers are told, and what they pay."""

from dataclasses import replace
from pathlib import Path

from berth.base.clock import HOUR, Instant
from berth.base.db import Database
from berth.core import events, instances, ledger, projects, webhooks
from berth.core.instances import Status
from berth.core.webhooks import Outcome
from berth.drivers.incus import ImageSold, IncusConfig, IncusDriver, Location
from berth.drivers.incus.moving import Mover
from berth.faces import huddle
from berth.incus_operating import tell
from berth.loops import catalog, observation, provisioning
from berth.loops.world import Courier, Letter, World
from tests import make
from tests.conftest import FakeClock
from tests.drivers.incus.acting import PLACE, PLAIN
from tests.drivers.incus.engine import Engine, answering


async def _greets(_ip: str, _port: int, _wait_s: float) -> bool:
    return True


def _world(db: Database, clock: FakeClock, driver: IncusDriver) -> World:
    async def post(_letter: Letter) -> Outcome:
        raise AssertionError("nobody has a webhook")

    return World(
        db=db,
        clock=clock,
        drivers={"incus": driver},
        install_id=db.write_now(projects.installation_id),
        holder="test",
        probe=_greets,
        courier=Courier(post, huddle.render, make.PEPPER, webhooks.Rules()),
    )


async def test_customers_are_told_before_their_host_is_emptied_and_where_they_are_then_and_pay_nothing_meanwhile(
    db: Database, clock: FakeClock, tmp_path: Path
) -> None:
    engine = Engine({"gpu1": [], "gpu2": []})
    async with answering(engine, tmp_path) as path:
        sold = replace(PLAIN, price_micros_per_hour=3_600_000)
        config = IncusConfig(
            types=(sold,),
            images=(ImageSold("debian-12", "Debian 12", "Debian 12", "12", is_default=True),),
            locations=(Location(PLACE, frozenset(engine.cards)),),
            socket=path,
        )
        driver = IncusDriver(config)
        try:
            world = _world(db, clock, driver)
            await catalog.tick(world)
            by = make.project(db, credit="1000").by
            spec = make.spec(
                [make.ssh_key(db, by).id],
                instance_type=sold.name,
                location=PLACE.code,
                image_slug="debian-12",
            )
            made = await db.write(instances.order, by, spec, make.RULES)
            for _ in range(4):
                await provisioning.tick(world)
                clock.advance(seconds=1)

            def now() -> instances.Instance:
                return db.read_now(instances.get, by, made.id)

            async def looks() -> list[str]:
                clock.advance(seconds=20)
                await observation.tick(world)
                return [each.type for each in db.read_now(events.list_for, by, made.id)]

            assert (now().status, now().ip) == (Status.RUNNING, "192.0.2.1")
            mover = Mover(config, driver)
            at = Instant(clock.now() + HOUR)
            await mover.announce("gpu1", at)
            assert tell(db, [label.instance_id for _, label in await mover.on("gpu1")], at) == 1
            assert (await looks()).count("instance.interruption_notice") == 1, "told at once, and not twice"

            async def an_hour_on_its_way() -> None:
                assert (await looks())[-1] == "instance.unreachable"
                for _ in range(3):
                    clock.advance(seconds=1200)
                    await provisioning.tick(world)
                assert (await looks())[-1] == "instance.unreachable"

            engine.before("POST", now().handle or "", an_hour_on_its_way)
            assert [each.member async for each in mover.empty("gpu1")] == ["gpu2"]
            assert (await looks())[-2:] == ["instance.recovered", "instance.moved"]
            assert (now().status, now().ip) == (Status.RUNNING, "192.0.2.2")
            await db.write(instances.delete, by, made.id, make.RULES)
            for _ in range(4):
                await provisioning.tick(world)
                clock.advance(seconds=1)
            assert engine.instances == {}
            charged, _ = db.read_now(ledger.debited, made.id)
            assert 0 < charged < sold.price_micros_per_hour // 2, "not for the hour on its way"
        finally:
            await driver.close()
