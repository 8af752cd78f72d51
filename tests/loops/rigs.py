"""Every loop's rig for the contract suite: a new loop adds one."""

from dataclasses import replace

from berth.base import ids
from berth.core import idempotency, notices
from berth.core.billing import rates
from berth.core.catalog.inventory import Wanted
from berth.core.driver import Label
from berth.core.instances import AutoDelete
from tests import clustering, make, queueing
from tests.contract.loop import Rig
from tests.world import truth
from tests.world.world import World

_STEPS = 20
"""In which members come as far as they can without their cluster."""


async def _something_is_sold(world: World) -> None:
    """The provider's offers are there by themselves."""


def _is_sold(world: World) -> bool:
    return truth.rows(world.db, "SELECT 1 FROM offers WHERE provider = :name", name=world.provider.name) != []


async def _templates_are_kept(world: World) -> None:
    world.provider.abilities = replace(world.provider.abilities, templates=True)
    world.provider.kept_templates = [make.template()]
    await world.open_shop()


def _are_on_offer(world: World) -> bool:
    name = world.provider.name
    return truth.rows(world.db, "SELECT 1 FROM templates WHERE provider = :name", name=name) != []


async def _something_is_in_the_catalogue(world: World) -> None:
    await world.open_shop()


def _is_on_the_shelf(world: World) -> bool:
    return [offer.provider for offer in world.loops.shelf.inventory.search(Wanted()).offers] == [
        world.provider.name
    ]


async def _an_e_mail_is_due(world: World) -> None:
    customer = await world.customer()
    world.act(notices.set_contacts, customer.by, ["ops@example.com"])
    world.act(notices.send, customer.id, "billing.low_balance", "Low balance", "Add credit.")


def _no_e_mail_is_due(world: World) -> bool:
    return world.db.read_now(notices.next_due) is None


async def _something_is_ordered(world: World) -> None:
    world.turn(60)
    await world.open_shop()
    await world.order()


def _runs(world: World) -> bool:
    handles = {machine.handle for machine in world.provider.alive()}
    rows = truth.rows(world.db, "SELECT handle FROM instances WHERE status = 'running'")
    return handles != set() and handles <= {row[0] for row in rows}


async def _an_orphan_is_there(world: World) -> None:
    await world.open_shop()
    world.provider.plant(Label(world.install_id, ids.new(world.clock.now())))


def _nothing_is_there(world: World) -> bool:
    return world.provider.alive() == []


async def _something_runs(world: World) -> None:
    await world.running()
    world.turn(2 * rates.TICK_S)


def _is_charged(world: World) -> bool:
    return truth.rows(world.db, "SELECT 1 FROM entries WHERE code = 'usage'") != []


async def _somebody_is_to_be_told(world: World) -> None:
    customer = await world.customer()
    make.webhook(world.db, customer.by, "instance.*")
    await world.order(customer)


def _is_told(world: World) -> bool:
    rows = truth.rows(world.db, "SELECT status FROM deliveries")
    return rows != [] and all(row[0] == "success" for row in rows)


async def _a_delivery_is_old(world: World) -> None:
    await _somebody_is_to_be_told(world)
    await world.tick("deliveries")
    world.turn(31 * 24 * 3600)


def _is_forgotten(world: World) -> bool:
    return truth.rows(world.db, "SELECT 1 FROM deliveries") == []


async def _somebody_waits_for_what_is_free(world: World) -> None:
    customer = await world.customer()
    queueing.waiting(world.db, customer.by, is_auto=True)


def _is_deployed(world: World) -> bool:
    return truth.rows(world.db, "SELECT 1 FROM waitlist_entries WHERE status = 'deploying'") != []


async def _something_is_to_end(world: World) -> None:
    instance = await world.running(auto_delete=AutoDelete(at=world.turned(3600)))
    world.turn(3600)
    assert not _has_ended(world), instance


def _has_ended(world: World) -> bool:
    return truth.rows(world.db, "SELECT 1 FROM instances WHERE wanted = 'deleted'") != []


async def _a_session_is_older_than_it_may_be(world: World) -> None:
    offer_id = f"{world.provider.name}-{make.H100}@FIN-01"
    session = await world.running_session(offer_id=offer_id, reservation_hours=12)
    world.turn(12 * 3600)
    assert not _has_ended(world), session


async def _a_volume_is_ordered(world: World) -> None:
    world.turn(60)
    await world.open_shop()
    make.volume(world.db, "ordered")


def _is_made(world: World) -> bool:
    handles = set(world.provider.disks)
    rows = truth.rows(world.db, "SELECT handle FROM volumes WHERE status = 'detached'")
    return handles != set() and handles <= {row[0] for row in rows}


async def _an_orphan_volume_is_there(world: World) -> None:
    await world.open_shop()
    world.provider.plant_disk(Label(world.install_id, ids.new(world.clock.now())))


def _no_volume_is_there(world: World) -> bool:
    return world.provider.disks == {}


async def _nothing_is_left(world: World) -> None:
    await world.running(await world.customer("20"))
    world.turn(12 * 3600)


def _is_suspended(world: World) -> bool:
    wanted = truth.rows(world.db, "SELECT wanted FROM instances")
    return (
        wanted == [("offline",)]
        and truth.rows(world.db, "SELECT 1 FROM events WHERE type = 'billing.suspended'") != []
    )


async def _a_cluster_could_run(world: World) -> None:
    world.provider.offers = clustering.offers()
    world.provider.images = clustering.images()
    world.provider.volume_types = clustering.volume_types()
    world.provider.cluster_types = [clustering.cluster_type()]
    world.turn(60)
    await world.open_shop()
    clustering.ordered(world.db, (await world.customer("10000")).by)
    for _ in range(_STEPS):
        world.turn(16)
        await world.tick("volumes", "provisioning")
    assert not _it_is_whole(world)


def _it_is_whole(world: World) -> bool:
    members = truth.rows(world.db, "SELECT DISTINCT status FROM instances")
    return members == [("running",)] and truth.rows(world.db, "SELECT status FROM clusters") == [("running",)]


async def _an_answer_is_old(world: World) -> None:
    by = make.project(world.db).by
    answer = idempotency.Answer(200, "{}")
    world.db.write_now(idempotency.remember, by, "k", "f", answer)
    world.turn(idempotency.RETENTION_S)


def _it_is_forgotten(world: World) -> bool:
    return truth.rows(world.db, "SELECT 1 FROM idempotency_records") == []


RIGS = {
    rig.loop: rig
    for rig in (
        Rig("catalog", _something_is_sold, _is_sold),
        Rig("templates", _templates_are_kept, _are_on_offer),
        Rig("inventory", _something_is_in_the_catalogue, _is_on_the_shelf),
        Rig("notices", _an_e_mail_is_due, _no_e_mail_is_due),
        Rig("provisioning", _something_is_ordered, _runs),
        Rig("observation", _an_orphan_is_there, _nothing_is_there),
        Rig("volumes", _a_volume_is_ordered, _is_made),
        Rig("volume_observation", _an_orphan_volume_is_there, _no_volume_is_there),
        Rig("metering", _something_runs, _is_charged),
        Rig("deliveries", _somebody_is_to_be_told, _is_told),
        Rig("delivery_log", _a_delivery_is_old, _is_forgotten),
        Rig("waitlist", _somebody_waits_for_what_is_free, _is_deployed),
        Rig("reservations", _something_is_to_end, _has_ended),
        Rig("sessions", _a_session_is_older_than_it_may_be, _has_ended),
        Rig("clusters", _a_cluster_could_run, _it_is_whole),
        Rig("credit", _nothing_is_left, _is_suspended),
        Rig("housekeeping", _an_answer_is_old, _it_is_forgotten),
    )
}
