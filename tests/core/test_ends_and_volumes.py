"""What becomes of volumes and bills when nobody asked for an end: without credit, at a term's end, by its own time."""

import pytest

from berth.base.clock import SECOND, Instant
from berth.base.db import Database
from berth.core import billing, catalog, instances, volumes
from berth.core.billing import Period, Rules, Unit, rates
from berth.core.driver import Abilities
from berth.core.instances import AutoDelete, Contract, Extension, Instance
from berth.core.volumes import Fate, NewVolume, Volume
from tests import make
from tests.conftest import FakeClock
from tests.core.books import assert_exact, codes

WHY = "insufficient_credits"
HOUR_S = 3600
RULES = Rules(periods=(Period("1_HOUR", "1 hour", Unit.HOUR, 1, 14),))
DISKS = Abilities(volumes=True, keeps_disks=True)


def doomed(db: Database, customer: make.Customer) -> Volume:
    """A volume that exists, and is set to end for good with the instance that has it."""
    make.catalogue(db)
    wanted = NewVolume("data", 10, "NVMe", Fate.PURGE)
    made = db.write_now(instances.create_volume, customer.by, wanted, "FIN-01")
    return make.seen_volume(db, made, volumes.created, make.volume_sighting(made))


def disk_of(db: Database, made: Instance) -> Volume:
    found = db.read_now(volumes.os_volume_of, made.id)
    assert found is not None
    return found


def booted_from_a_volume(db: Database, customer: make.Customer, **members: object) -> tuple[Volume, Instance]:
    """A disk that was a volume of its own, and the running instance that boots from it."""
    make.catalogue(db)
    db.write_now(catalog.introduce, make.PROVIDER, DISKS)
    first = make.instance(db, "running", customer.by)
    disk = disk_of(db, first)
    db.write_now(volumes.disk_seen, first.id, "the-disk")
    db.write_now(instances.delete, customer.by, first.id, make.RULES, os_volume=Fate.DETACH)
    make.seen(db, first, instances.gone, make.RULES)
    assert make.volume_now(db, disk).status == "detached"
    return disk, make.instance(db, "running", customer.by, image_slug=disk.id, rules=RULES, **members)


@pytest.mark.parametrize("status", ["ordered", "provisioning"])
def test_an_order_that_no_credit_is_left_for_leaves_the_volumes_that_were_there_before(
    db: Database, status: str
) -> None:
    customer = make.project(db)
    volume = doomed(db, customer)
    made = make.instance(db, status, customer.by, existing_volumes=[volume.id])
    assert db.write_now(instances.cut_off, made.project, made.id, make.RULES, reason=WHY)
    make.seen(db, made, instances.gone, make.RULES)
    assert make.volume_now(db, volume).status == "detached"


def test_what_is_cleared_out_for_want_of_credit_leaves_its_volumes_to_the_trash(db: Database) -> None:
    customer = make.project(db)
    volume = doomed(db, customer)
    made = make.instance(db, "offline", customer.by, existing_volumes=[volume.id])
    assert db.write_now(instances.delete_offline, made.project, made.id, make.RULES, reason=WHY)
    make.seen(db, made, instances.gone, make.RULES)
    assert make.volume_now(db, volume).status == "detached"


def test_a_volume_that_was_booted_from_can_be_restored_when_its_instance_is_cleared_out(db: Database) -> None:
    disk, made = booted_from_a_volume(db, make.project(db))
    db.write_now(instances.stop, make.owner(made), made.id)
    make.seen(db, made, instances.stopped, releases_hardware=True)
    assert db.write_now(instances.delete_offline, made.project, made.id, make.RULES, reason=WHY)
    make.seen(db, made, instances.gone, make.RULES)
    left = make.volume_now(db, disk)
    assert (left.status, left.is_permanently_deleted) == ("deleted", False)


def test_a_volume_that_was_booted_from_is_kept_when_its_instance_ends_by_itself(
    db: Database, clock: FakeClock
) -> None:
    at = Instant(clock.now() + HOUR_S * SECOND)
    disk, made = booted_from_a_volume(db, make.project(db), auto_delete=AutoDelete(at=at))
    clock.advance(seconds=HOUR_S)
    db.write_now(instances.attend, made.id, RULES)
    make.seen(db, made, instances.gone, RULES)
    assert make.volume_now(db, disk).status == "detached"


def test_a_volume_that_was_booted_from_is_kept_when_the_term_of_its_instance_ends(
    db: Database, clock: FakeClock
) -> None:
    disk, made = booted_from_a_volume(
        db, make.project(db), contract=Contract.LONG_TERM, extension=Extension.END_CONTRACT
    )
    clock.advance(seconds=HOUR_S)
    db.write_now(instances.attend_outside, made.id, RULES)
    make.seen(db, made, instances.gone, RULES)
    assert make.volume_now(db, disk).status == "detached"


def test_what_cannot_be_stopped_costs_nothing_after_the_time_at_which_all_were_to_stop(
    db: Database, clock: FakeClock
) -> None:
    db.write_now(catalog.introduce, make.PROVIDER, Abilities(stop=False, restart=False))
    made = make.instance(db, "running")
    at = clock.advance(seconds=700)
    clock.advance(seconds=7200)
    db.write_now(billing.sweep)
    assert db.write_now(instances.cut_off, made.project, made.id, make.RULES, reason=WHY, at=at)
    assert make.now(db, made).status == "deleting"
    assert db.read_now(billing.bill, made.id).total == rates.total(made.price, 700)
    assert_exact(db)


@pytest.mark.parametrize("extension", list(Extension))
def test_terms_of_what_was_lost_are_over(db: Database, clock: FakeClock, extension: Extension) -> None:
    by = make.project(db).by
    made = make.instance(db, "running", by, rules=RULES, contract=Contract.LONG_TERM, extension=extension)
    lost = db.write_now(instances.vanished, made, seen_at=clock.now(), reason="instance_lost: gone")
    assert lost is not None
    clock.advance(seconds=30 * HOUR_S)
    deleted = db.write_now(instances.delete, by, made.id, RULES)
    assert deleted.sequence == lost.sequence + 1


def test_a_boot_that_is_cancelled_owes_nothing_for_its_term(db: Database, clock: FakeClock) -> None:
    by = make.project(db).by
    rules = Rules(periods=RULES.periods, bills_boot=True)
    made = make.instance(db, "provisioning", by, rules=rules, contract=Contract.LONG_TERM)
    clock.advance(seconds=500)
    db.write_now(instances.delete, by, made.id, rules)
    assert [code for code, _ in codes(db, made.project, made.id)] == ["usage", "minimum"]


def test_a_boot_is_billed_until_it_is_cancelled_however_long_its_provider_takes_to_answer(
    db: Database, clock: FakeClock
) -> None:
    rules = Rules(bills_boot=True)
    made = make.ordered(db, rules=rules)
    make.seen(db, made, instances.intend_create, boot_timeout_s=make.BOOT_TIMEOUT_S)
    clock.advance(seconds=500)
    db.write_now(instances.delete, make.owner(made), made.id, rules)
    clock.advance(seconds=1000)
    make.seen(db, made, instances.found, make.sighting(made))
    make.seen(db, made, instances.gone, rules)
    assert db.read_now(billing.bill, made.id).total == rates.total(made.price, rates.MINIMUM_S)
    assert db.read_now(instances.is_paid, make.now(db, made))
    assert_exact(db)


def test_a_boot_that_had_failed_costs_nothing_when_it_is_cancelled_with_its_create_unanswered(
    db: Database, clock: FakeClock
) -> None:
    made = make.ordered(db)
    make.seen(db, made, instances.intend_create, boot_timeout_s=make.BOOT_TIMEOUT_S)
    clock.advance(seconds=make.BOOT_TIMEOUT_S + 1)
    db.write_now(instances.delete, make.owner(made), made.id, make.RULES)
    make.seen(db, made, instances.found, make.sighting(made))
    make.seen(db, made, instances.gone, make.RULES)
    assert codes(db, made.project, made.id) == []
