"""What is stored by an account that runs empty: kept, charged, warned of three times on two channels, then trashed."""

import pytest

from berth.base.clock import HOUR, Instant, rfc3339
from berth.core import billing, instances, notices, volumes
from berth.core.billing import Alerts, State
from berth.core.errors import InsufficientCredits
from berth.core.volumes import NewVolume, Volume
from tests import make
from tests.world import truth
from tests.world.world import World

HOUR_S = 3600
CONTACTS = ["money@example.com", "ops@example.com"]
WARNED_AT_HOURS = (24, 48, 71)
"""After the suspension, with the usual 72 hours of retention."""


async def sweep(world: World) -> None:
    await world.tick("metering", "credit")
    await world.settle()
    await world.tick("credit")
    await world.settle()


async def keeper(world: World, credit: str = "25") -> tuple[make.Customer, Volume]:
    """A customer with a volume of 1000 GB, at 0.274 an hour, and nothing that runs."""
    customer = await world.customer(credit)
    world.act(notices.set_contacts, customer.by, CONTACTS)
    world.act(billing.set_alerts, customer.by, Alerts((make.micros("20"),), ()))
    volume = world.act(instances.create_volume, customer.by, NewVolume("data", 1000, "NVMe"), "FIN-01", ())
    await world.settle()
    return customer, volume


def state(world: World, customer: make.Customer) -> State:
    return world.db.read_now(billing.balance, customer.id, world.rules).state


def left(world: World, customer: make.Customer) -> int:
    return world.db.read_now(billing.balance, customer.id, world.rules).effective


def letters(world: World) -> list[tuple[str, str]]:
    """(kind, address) of every e-mail, oldest first."""
    rows = truth.rows(world.db, "SELECT kind, email FROM notices ORDER BY id")
    return [(row[0], row[1]) for row in rows]


def written(world: World, kind: str) -> list[str]:
    return sorted(address for found, address in letters(world) if found == kind)


def warnings(world: World, volume: Volume) -> int:
    return truth.event_types(world.db, volume.id).count("volume.deletion_scheduled")


async def suspended(world: World, credit: str = "25") -> tuple[make.Customer, Volume]:
    customer, volume = await keeper(world, credit)
    make.topup(world.db, customer.by, f"-{credit}")
    await sweep(world)
    world.turn(world.rules.grace_s)
    await sweep(world)
    assert state(world, customer) is State.SUSPENDED
    return customer, volume


async def until(world: World, start: int, hours: float) -> None:
    """Lets it become `hours` after `start`, with a look just before and just then."""
    for at in (start + int(hours * HOUR) - 1, start + int(hours * HOUR)):
        world.turn((at - world.clock.now()) / 1_000_000)
        await sweep(world)


async def test_with_only_volumes_it_goes_all_the_way_down_and_everybody_is_told_of_each_step(
    world: World,
) -> None:
    customer, volume = await keeper(world)
    world.turn(18 * HOUR_S)
    await sweep(world)
    assert (state(world, customer), letters(world)) == (State.ACTIVE, [])
    world.turn(HOUR_S)
    await sweep(world)
    assert state(world, customer) is State.LOW
    assert written(world, "billing.low_balance") == CONTACTS
    world.turn(80 * HOUR_S)
    await sweep(world)
    assert state(world, customer) is State.DEPLETED
    assert written(world, "billing.depleted") == CONTACTS
    with pytest.raises(InsufficientCredits) as refusal:
        world.act(instances.create_volume, customer.by, NewVolume("more", 10, "NVMe"), "FIN-01", ())
    assert refusal.value.code == "account_suspended"
    world.turn(600)
    await sweep(world)
    start = world.clock.now()
    assert state(world, customer) is State.SUSPENDED
    assert written(world, "billing.suspended") == CONTACTS
    owed = left(world, customer)
    for number, hours in enumerate(WARNED_AT_HOURS):
        await until(world, start, hours - 0.01)
        assert warnings(world, volume) == number
        await until(world, start, hours)
        assert warnings(world, volume) == number + 1
        assert written(world, "volume.deletion_scheduled") == sorted(CONTACTS * (number + 1))
        assert make.volume_now(world.db, volume).status == "detached"
    assert left(world, customer) < owed
    [body] = truth.rows(
        world.db, "SELECT DISTINCT body FROM notices WHERE kind = 'volume.deletion_scheduled'"
    )
    assert rfc3339(billing_purges_at(world, customer)) in body[0]
    await until(world, start, 72)
    assert state(world, customer) is State.PURGING
    trashed = make.volume_now(world.db, volume)
    assert (trashed.status, trashed.is_permanently_deleted) == ("deleted", False)
    assert trashed.purge_at == world.clock.now() + 96 * HOUR
    assert truth.event_types(world.db, volume.id)[-1] == "volume.deleted"
    owed = left(world, customer)
    world.turn(97 * HOUR_S)
    await world.tick("volumes")
    await sweep(world)
    assert make.volume_now(world.db, volume).is_permanently_deleted
    assert world.provider.disks_of(volume.id) == []
    assert left(world, customer) == owed
    world.check()


def billing_purges_at(world: World, customer: make.Customer) -> Instant:
    [(purges_at,)] = truth.rows(
        world.db, "SELECT purges_at FROM account_credit WHERE account_id = :id", id=customer.id
    )
    return Instant(purges_at)


@pytest.mark.parametrize("warned", [0, 1, 2, 3])
async def test_credit_after_any_warning_keeps_the_volume_and_begins_anew(world: World, warned: int) -> None:
    customer, volume = await suspended(world)
    start = world.clock.now()
    for hours in WARNED_AT_HOURS[:warned]:
        await until(world, start, hours)
    assert warnings(world, volume) == warned
    make.topup(world.db, customer.by, "60")
    await sweep(world)
    assert state(world, customer) is State.ACTIVE
    assert written(world, "billing.restored") == CONTACTS
    await until(world, start, 100)
    assert make.volume_now(world.db, volume).status == "detached"
    make.topup(world.db, customer.by, "-60")
    await sweep(world)
    world.turn(600)
    await sweep(world)
    again = world.clock.now()
    await until(world, again, 23.9)
    assert warnings(world, volume) == warned
    for hours in WARNED_AT_HOURS:
        await until(world, again, hours)
    assert warnings(world, volume) == warned + 3
    assert make.volume_now(world.db, volume).status == "detached"
    await until(world, again, 72)
    assert make.volume_now(world.db, volume).status == "deleted"
    world.check()


async def test_credit_while_it_is_cleared_out_leaves_the_trash_to_be_restored(world: World) -> None:
    """A deployment that was stopped goes first, then what was attached to it; with credit its owner has it back."""
    customer, volume = await keeper(world, "60")
    made = await world.running(customer, existing_volumes=[volume.id])
    assert make.volume_now(world.db, volume).status == "attached"
    make.topup(world.db, customer.by, "-65")
    await sweep(world)
    world.turn(600)
    await sweep(world)
    assert (world.status(made), make.volume_now(world.db, volume).status) == ("offline", "attached")
    start = world.clock.now()
    for hours in (*WARNED_AT_HOURS, 72):
        await until(world, start, hours)
    await sweep(world)
    assert world.status(made) == "deleted"
    assert make.volume_now(world.db, volume).status == "deleted"
    with pytest.raises(InsufficientCredits):
        world.act(volumes.restore, customer.by, volume.id)
    make.topup(world.db, customer.by, "100")
    world.act(volumes.restore, customer.by, volume.id)
    await sweep(world)
    assert state(world, customer) is State.ACTIVE
    world.turn(200 * HOUR_S)
    await sweep(world)
    assert make.volume_now(world.db, volume).status == "detached"
    assert len(world.provider.disks_of(volume.id)) == 1
    world.check()


async def test_a_control_plane_that_was_down_for_days_warns_three_times_with_the_whole_lead(
    world: World,
) -> None:
    _, volume = await suspended(world)
    world.turn(1000 * HOUR_S)
    late = world.clock.now()
    await sweep(world)
    assert warnings(world, volume) == 1
    for hours, number in ((23.9, 1), (24, 2), (46.9, 2), (47, 3), (47.9, 3)):
        await until(world, late, hours)
        assert (warnings(world, volume), make.volume_now(world.db, volume).status) == (number, "detached")
    await until(world, late, 48)
    assert make.volume_now(world.db, volume).status == "deleted"
    world.check()
