"""A lease has one holder, for a time, and a token that tells an old holder from the new one."""

from functools import partial

from berth.base import leases
from berth.base.db import Database
from berth.base.leases import Lease
from tests.conftest import FakeClock
from tests.core.together import failed, together


def acquire(db: Database, holder: str, name: str = "metering", seconds: int = 30) -> Lease | None:
    return db.write_now(leases.acquire, name, holder=holder, seconds=seconds)


def taken(db: Database, holder: str) -> Lease:
    lease = acquire(db, holder)
    assert lease is not None
    return lease


def test_a_lease_has_one_holder(db: Database) -> None:
    assert taken(db, "a").holder == "a"
    assert acquire(db, "b") is None
    assert acquire(db, "b", name="catalog") is not None


def test_its_holder_extends_it_under_the_same_token(db: Database, clock: FakeClock) -> None:
    first = taken(db, "a")
    clock.advance(seconds=20)
    second = taken(db, "a")
    assert (second.token, second.expires_at) == (first.token, first.expires_at + 20_000_000)
    clock.advance(seconds=20)
    assert acquire(db, "b") is None


def test_an_expired_lease_goes_to_whoever_asks_under_a_higher_token(db: Database, clock: FakeClock) -> None:
    first = taken(db, "a")
    clock.advance(seconds=29.999999)
    assert db.write_now(leases.is_held, first)
    clock.advance(micros=1)
    assert not db.write_now(leases.is_held, first)
    second = taken(db, "b")
    assert second.token > first.token
    assert not db.write_now(leases.is_held, first)
    assert db.write_now(leases.is_held, second)


def test_a_holder_that_slept_through_its_end_gets_a_new_token(db: Database, clock: FakeClock) -> None:
    first = taken(db, "a")
    clock.advance(seconds=31)
    assert taken(db, "a").token > first.token
    assert not db.write_now(leases.is_held, first)


def test_a_released_lease_is_free_at_once(db: Database) -> None:
    first = taken(db, "a")
    db.write_now(leases.release, first)
    assert not db.write_now(leases.is_held, first)
    assert taken(db, "b").token > first.token


def test_releasing_a_lost_lease_takes_nothing_from_its_new_holder(db: Database, clock: FakeClock) -> None:
    first = taken(db, "a")
    clock.advance(seconds=31)
    second = taken(db, "b")
    db.write_now(leases.release, first)
    assert db.write_now(leases.is_held, second)
    assert acquire(db, "a") is None


def test_ending_all_leases_frees_them(db: Database) -> None:
    first = taken(db, "a")
    db.write_now(leases.release_all)
    assert not db.write_now(leases.is_held, first)
    assert taken(db, "b").token > first.token


def test_of_many_that_ask_at_once_one_gets_it(db: Database, clock: FakeClock) -> None:
    for _ in range(3):
        outcomes = together([partial(acquire, db, f"holder-{n}") for n in range(20)])
        failed(outcomes)
        (lease,) = [outcome for outcome in outcomes if outcome is not None]
        assert db.write_now(leases.is_held, lease)
        clock.advance(seconds=31)
