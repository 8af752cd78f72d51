"""What a stop does with the hardware, and who may ask for which."""

import pytest

from berth.base.db import Database
from berth.core import catalog, instances
from berth.core.driver import Abilities
from berth.core.errors import Conflict, Invalid
from berth.core.instances import Action, Instance, Status, Wanted
from tests import make
from tests.conftest import FakeClock
from tests.core.books import assert_exact, rows

KEEPS = Abilities(stop_keeps_hardware=True)
RESERVES = Abilities(stop_releases_hardware=False)
WHY = "insufficient_credits"


def at(db: Database, abilities: Abilities, status: str = "running") -> Instance:
    db.write_now(catalog.introduce, make.PROVIDER, abilities)
    return make.instance(db, status)


def stop(db: Database, made: Instance, *, keep_reserved: bool = False, reason: str | None = None) -> Instance:
    return db.write_now(instances.stop, make.owner(made), made.id, keep_reserved=keep_reserved, reason=reason)


def off(db: Database, made: Instance) -> Instance:
    """The provider did what the row asks for."""
    releases = not make.now(db, made).keeps_hardware
    return make.seen(db, made, instances.stopped, releases_hardware=releases)


def free(db: Database) -> int:
    return int(rows(db, "SELECT free_units FROM offers")[0][0])


def burn(db: Database, made: Instance) -> int:
    return make.balance(db, make.owner(made)).burn_micros_per_hour


@pytest.mark.parametrize(
    ("abilities", "keep_reserved", "is_kept"),
    [
        (Abilities(), False, False),
        (KEEPS, False, False),
        (KEEPS, True, True),
        (RESERVES, False, True),
        (RESERVES, True, True),
    ],
)
def test_hardware_is_kept_and_billed_where_it_was_asked_for_or_cannot_be_given_back(
    db: Database, abilities: Abilities, keep_reserved: bool, is_kept: bool
) -> None:
    made = at(db, abilities)
    assert stop(db, made, keep_reserved=keep_reserved).keeps_hardware is is_kept
    after = off(db, made)
    assert (after.status, after.is_reserved) == (Status.OFFLINE, is_kept)
    assert (free(db), burn(db, made)) == ((7, made.price) if is_kept else (8, 0))
    assert after.due_at is None
    assert_exact(db)


def test_hardware_cannot_be_kept_where_every_stop_gives_it_back(db: Database) -> None:
    made = at(db, Abilities())
    with pytest.raises(Conflict) as refusal:
        stop(db, made, keep_reserved=True)
    assert refusal.value.code == "not_supported"
    assert make.now(db, made) == made


@pytest.mark.parametrize("action", [Action.START, Action.RESTART, Action.DELETE])
def test_only_a_stop_keeps_hardware(db: Database, action: Action) -> None:
    made = at(db, KEEPS)
    with pytest.raises(Invalid):
        db.write_now(instances.act, make.owner(made), made.id, action, make.RULES, keep_reserved=True)


def test_what_a_provider_cannot_do_is_no_action_and_is_refused(db: Database) -> None:
    made = at(db, Abilities(stop=False, restart=False))
    able = db.read_now(instances.abilities, made)
    assert instances.allowed(made, able) == (Action.DELETE,)
    for action in (Action.STOP, Action.RESTART):
        with pytest.raises(Conflict) as refusal:
            db.write_now(instances.act, make.owner(made), made.id, action, make.RULES)
        assert refusal.value.code == "not_supported"
    assert make.now(db, made) == made


def test_kept_hardware_is_given_back_by_a_stop_that_does_not_keep_it(db: Database, clock: FakeClock) -> None:
    made = at(db, KEEPS)
    stop(db, made, keep_reserved=True)
    off(db, made)
    clock.advance(seconds=700)
    assert stop(db, made).due_at == clock.now()
    after = off(db, made)
    assert (after.is_reserved, after.due_at, free(db), burn(db, made)) == (False, None, 8, 0)
    assert stop(db, made, keep_reserved=True) == after, "what was given back cannot be kept"
    assert_exact(db)


def test_a_stop_under_way_may_still_be_told_to_keep_its_hardware(db: Database) -> None:
    made = at(db, KEEPS)
    stop(db, made)
    assert stop(db, made, keep_reserved=True).keeps_hardware
    assert off(db, made).is_reserved


def test_a_stop_that_gave_back_what_was_to_be_kept_meanwhile_settles(db: Database) -> None:
    made = at(db, KEEPS)
    stop(db, made)
    held = make.now(db, made)
    stop(db, made, keep_reserved=True)
    after = db.write_now(instances.stopped, held, releases_hardware=True)
    assert after is not None
    assert (after.is_reserved, after.due_at) == (False, None)


@pytest.mark.parametrize("abilities", [Abilities(), KEEPS, RESERVES])
def test_a_stop_with_a_reason_gives_the_hardware_back_and_says_why(
    db: Database, abilities: Abilities
) -> None:
    made = at(db, abilities)
    assert stop(db, made, reason=WHY).status_reason == WHY
    after = off(db, made)
    assert (after.status, after.status_reason, after.is_reserved) == (Status.OFFLINE, WHY, False)
    assert (free(db), burn(db, made)) == (8, 0)
    reasons = rows(db, "SELECT data FROM events WHERE type = 'instance.offline'")
    assert f'"reason":"{WHY}"' in reasons[0][0]


def test_a_stop_with_a_reason_ends_what_is_kept_reserved(db: Database) -> None:
    made = at(db, RESERVES)
    stop(db, made)
    off(db, made)
    assert burn(db, made) == made.price
    stop(db, made, reason=WHY)
    after = off(db, made)
    assert (after.status, after.status_reason, burn(db, made), free(db)) == ("offline", WHY, 0, 8)
    assert stop(db, made, reason=WHY) == after


@pytest.mark.parametrize("doing", [Action.START, Action.RESTART])
def test_a_stop_with_a_reason_overrides_what_is_under_way(db: Database, doing: Action) -> None:
    made = at(db, Abilities(), "offline" if doing is Action.START else "running")
    db.write_now(instances.act, make.owner(made), made.id, doing, make.RULES)
    wanted = stop(db, made, reason=WHY)
    assert (wanted.wanted, wanted.is_restart_wanted, wanted.due_at is None) == (Wanted.OFFLINE, False, False)
    after = off(db, made)
    assert (after.status, after.due_at, free(db), burn(db, made)) == ("offline", None, 8, 0)


def test_a_stop_with_a_reason_deletes_what_cannot_be_stopped(db: Database) -> None:
    made = at(db, Abilities(stop=False))
    after = stop(db, made, reason=WHY)
    assert (after.status, after.status_reason) == (Status.DELETING, WHY)
    assert stop_is_refused(db, made)


@pytest.mark.parametrize("status", ["ordered", "provisioning", "error", "deleting", "deleted"])
def test_a_stop_with_a_reason_is_for_what_stands(db: Database, status: str) -> None:
    made = make.instance(db, status)
    assert stop_is_refused(db, made)


def stop_is_refused(db: Database, made: Instance) -> bool:
    with pytest.raises(Conflict) as refusal:
        stop(db, made, reason=WHY)
    return refusal.value.code == "invalid_state"


def test_a_projects_instances_are_listed_by_status_in_pages(db: Database, clock: FakeClock) -> None:
    by = make.project(db, credit="1000").by
    make.instance(db, "running")  # another project's
    made = []
    for status in ("running", "offline", "ordered", "running", "deleted", "running"):
        made.append(make.instance(db, status, by))
        clock.advance(seconds=1)
    wanted = (Status.RUNNING, Status.OFFLINE)
    first = db.read_now(instances.of_project, by.project, statuses=wanted, limit=3)
    rest = db.read_now(instances.of_project, by.project, statuses=wanted, after_id=first[-1].id, limit=3)
    assert [one.id for one in (*first, *rest)] == [made[n].id for n in (0, 1, 3, 5)]


def cut_off(db: Database, made: Instance) -> None:
    assert db.write_now(instances.cut_off, made.project, made.id, make.RULES, reason=WHY)


@pytest.mark.parametrize("abilities", [KEEPS, RESERVES])
@pytest.mark.parametrize("was_kept", [False, True])
def test_hardware_that_nobody_pays_for_is_not_kept_by_a_second_stop(
    db: Database, abilities: Abilities, was_kept: bool
) -> None:
    made = at(db, abilities)
    if was_kept:
        stop(db, made, keep_reserved=True)
        off(db, made)
    cut_off(db, made)
    assert burn(db, made) == 0
    with pytest.raises(Conflict) as refused:
        stop(db, made, keep_reserved=True)
    assert refused.value.code == "invalid_state"
    again = stop(db, made)
    assert (again.keeps_hardware, again.status_reason) == (False, WHY)
    after = off(db, made)
    assert (after.status, after.is_reserved, free(db), burn(db, made)) == (Status.OFFLINE, False, 8, 0)
    assert_exact(db)
