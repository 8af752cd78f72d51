"""When a session is idle: on a signal that says so, and on nothing else."""

from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from berth.base.clock import SECOND
from berth.base.db import Database
from berth.core import sessions
from berth.core.errors import Unauthenticated
from berth.core.sessions import Session, Status, idling
from berth.core.sessions.model import Sample, Watch
from tests import make
from tests.conftest import FakeClock
from tests.core.rented import beat, running, seen
from tests.world import truth


def test_a_heartbeat_that_says_idle_for_long_enough_ends_it(db: Database) -> None:
    opened = make.session(db, idle_threshold_minutes=30)
    session = running(db, opened)
    assert beat(db, session, opened.agent_token, 30 * 60 - 1).status is Status.RUNNING
    assert seen(db, session).watch.heartbeat_idle_s == 1799
    assert beat(db, session, opened.agent_token, 30 * 60).status is Status.STOPPING
    assert seen(db, session).error is None


def test_a_heartbeat_needs_the_sessions_own_token(db: Database) -> None:
    opened, other = make.session(db), make.session(db)
    session = running(db, opened)
    for token in ("", "agt_0", other.agent_token, opened.agent_token + "0"):
        with pytest.raises(Unauthenticated):
            beat(db, session, token, 9999)
    assert opened.agent_token not in str(truth.rows(db, "SELECT * FROM sessions"))
    assert seen(db, session).watch.heartbeat_at is None


def test_without_a_threshold_idleness_ends_nothing(db: Database) -> None:
    opened = make.session(db)
    session = running(db, opened)
    assert beat(db, session, opened.agent_token, 10**9).status is Status.RUNNING


def look(db: Database, session: Session, gpu: int | None, cpu_us: int | None) -> Status:
    readings = sessions.Readings(gpu, cpu_us, 40)
    db.write_now(sessions.sampled, session.id, readings, make.RULES)
    return seen(db, session).status


def test_what_does_nothing_whenever_somebody_looks_ends(db: Database, clock: FakeClock) -> None:
    session = running(db, make.session(db, idle_threshold_minutes=5))
    for _ in range(5):
        assert look(db, session, 0, 1000) is Status.RUNNING
        clock.advance(seconds=60)
    assert look(db, session, 4, 1000) is Status.STOPPING
    sample = seen(db, session).watch.sample
    assert sample is not None
    assert asdict(sample) == {"at": clock.now(), "gpu_percent": 4, "cpu_percent": 0, "disk_free_gb": 40}


@pytest.mark.parametrize(("gpu", "cpu_s"), [(5, 0), (0, 30), (None, 60)])
def test_what_does_something_in_between_goes_on(
    db: Database, clock: FakeClock, gpu: int | None, cpu_s: int
) -> None:
    session = running(db, make.session(db, idle_threshold_minutes=2))
    used = 0
    for _ in range(6):
        look(db, session, 0, used)
        clock.advance(seconds=60)
        used += cpu_s * 1_000_000
        assert look(db, session, gpu, used) is Status.RUNNING
        clock.advance(seconds=60)


def test_silence_is_not_idleness(db: Database, clock: FakeClock) -> None:
    session = running(db, make.session(db, idle_threshold_minutes=10))
    look(db, session, 0, 0)
    clock.advance(seconds=3000)
    assert seen(db, session).status is Status.RUNNING
    assert look(db, session, 0, 0) is Status.RUNNING
    assert seen(db, session).watch.idle_since == clock.now()


def test_a_look_that_sees_nothing_says_nothing(db: Database, clock: FakeClock) -> None:
    session = running(db, make.session(db, idle_threshold_minutes=1))
    for _ in range(4):
        assert look(db, session, None, None) is Status.RUNNING
        clock.advance(seconds=60)


def test_what_its_agent_says_goes_before_what_is_seen_from_outside(db: Database, clock: FakeClock) -> None:
    opened = make.session(db, idle_threshold_minutes=2)
    session = running(db, opened)
    for _ in range(6):
        beat(db, session, opened.agent_token, 0)
        assert look(db, session, 0, 0) is Status.RUNNING
        db.write_now(sessions.provider_said, session.id, 0, make.RULES)
        assert seen(db, session).status is Status.RUNNING
        clock.advance(seconds=60)


def test_where_nobody_can_look_inside_its_provider_is_believed(db: Database, clock: FakeClock) -> None:
    session = running(db, make.session(db, idle_threshold_minutes=3))
    for _ in range(4):
        db.write_now(sessions.provider_said, session.id, 0, make.RULES)
        clock.advance(seconds=60)
    assert seen(db, session).status is Status.STOPPING


@given(st.lists(st.tuples(st.integers(1, 400), st.integers(0, 100)), max_size=30), st.integers(1, 10))
def test_idle_since_is_never_before_the_first_of_a_row_of_idle_looks(
    looks: list[tuple[int, int]], threshold: int
) -> None:
    watch, now, idle_row = Watch(), 0, None
    last = None
    for pause_s, gpu in looks:
        now += pause_s * SECOND
        is_gap = last is None or now - last > idling.LONGEST_GAP
        last = now
        if gpu >= idling.IDLE_GPU_PERCENT:
            idle_row = None
        elif idle_row is None or is_gap:
            idle_row = now
        watch = idling.sampled(watch, Sample(now, gpu, None, None))  # type: ignore[arg-type]
        assert watch.idle_since == idle_row
        if idling.is_over(watch, threshold, now):  # type: ignore[arg-type]
            assert idle_row is not None
            assert now - idle_row >= threshold * 60 * SECOND
