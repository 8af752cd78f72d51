"""Which step follows from which row, as a table over every state."""

from dataclasses import replace

import pytest

from berth.base.clock import Instant, after
from berth.base.db import Database
from berth.core.driver import Power
from berth.core.instances import Instance, Status, Wanted
from berth.loops.observation import Verdict, judge
from berth.loops.provisioning import Step, plan
from tests import make
from tests.conftest import FakeClock

NOTHING = {"handle": None, "create_sent_at": None}
SENT = {"handle": None, "create_sent_at": Instant(1)}
THERE = {"handle": "h", "create_sent_at": Instant(1)}
PAST = {"deadline_at": Instant(5)}

STEPS = [
    (Status.ORDERED, Wanted.RUNNING, NOTHING, Step.CREATE),
    (Status.ORDERED, Wanted.DELETED, NOTHING, Step.CONFIRM_GONE),
    (Status.PROVISIONING, Wanted.RUNNING, NOTHING, Step.CREATE),
    (Status.PROVISIONING, Wanted.RUNNING, SENT, Step.RESOLVE),
    (Status.PROVISIONING, Wanted.RUNNING, THERE, Step.VERIFY),
    (Status.PROVISIONING, Wanted.RUNNING, NOTHING | PAST, Step.GIVE_UP),
    (Status.PROVISIONING, Wanted.RUNNING, SENT | PAST, Step.GIVE_UP),
    (Status.PROVISIONING, Wanted.RUNNING, THERE | PAST, Step.GIVE_UP),
    (Status.RUNNING, Wanted.RUNNING, THERE, Step.NOTHING),
    (Status.RUNNING, Wanted.RUNNING, THERE | {"is_restart_wanted": True}, Step.RESTART),
    (Status.RUNNING, Wanted.OFFLINE, THERE, Step.STOP),
    (Status.OFFLINE, Wanted.OFFLINE, THERE, Step.NOTHING),
    (Status.OFFLINE, Wanted.RUNNING, THERE, Step.START),
    (Status.OFFLINE, Wanted.RUNNING, THERE | PAST, Step.START),
    (Status.ERROR, Wanted.RUNNING, NOTHING, Step.NOTHING),
    (Status.ERROR, Wanted.RUNNING, SENT, Step.DESTROY),
    (Status.ERROR, Wanted.OFFLINE, THERE, Step.DESTROY),
    (Status.FAILED_NO_CAPACITY, Wanted.RUNNING, NOTHING, Step.NOTHING),
    (Status.FAILED_NO_CAPACITY, Wanted.RUNNING, THERE, Step.DESTROY),
    (Status.DELETING, Wanted.DELETED, NOTHING, Step.CONFIRM_GONE),
    (Status.DELETING, Wanted.DELETED, SENT, Step.DESTROY),
    (Status.DELETING, Wanted.DELETED, THERE, Step.DESTROY),
    (Status.DELETING, Wanted.DELETED, THERE | PAST, Step.DESTROY),
    (Status.DELETED, Wanted.DELETED, NOTHING, Step.NOTHING),
    (Status.DELETED, Wanted.DELETED, THERE, Step.NOTHING),
]


@pytest.fixture
def instance(db: Database) -> Instance:
    return make.instance(db, "running")


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("status", "wanted", "members", "step"), STEPS)
def test_the_next_step_is_read_off_the_row(
    instance: Instance, status: Status, wanted: Wanted, members: dict[str, object], step: Step
) -> None:
    row = replace(instance, status=status, wanted=wanted, deadline_at=None)
    row = replace(row, **members)  # type: ignore[arg-type]
    assert plan(row, Instant(10)) is step


def test_every_status_is_in_the_table() -> None:
    assert {status for status, *_ in STEPS} == set(Status)


RUNNING = {"status": Status.RUNNING, "wanted": Wanted.RUNNING}
STOPPING = {"status": Status.RUNNING, "wanted": Wanted.OFFLINE}
OFFLINE = {"status": Status.OFFLINE, "wanted": Wanted.OFFLINE}
STARTING = {"status": Status.OFFLINE, "wanted": Wanted.RUNNING}
BOOTING = {"status": Status.PROVISIONING, "wanted": Wanted.RUNNING}
DELETING = {"status": Status.DELETING, "wanted": Wanted.DELETED}
BROKEN = {"status": Status.ERROR, "wanted": Wanted.RUNNING}
GONE_ONCE = {"missing_since": Instant(1)}

VERDICTS = [
    (RUNNING, Power.RUNNING, Verdict.FINE),
    (RUNNING, Power.CREATING, Verdict.FINE),
    (RUNNING, Power.STOPPED, Verdict.WENT_DOWN),
    (RUNNING, Power.FAILED, Verdict.WENT_DOWN),
    (RUNNING | {"is_restart_wanted": True}, Power.STOPPED, Verdict.FINE),
    (STOPPING, Power.STOPPED, Verdict.FINE),
    (OFFLINE, Power.STOPPED, Verdict.FINE),
    (OFFLINE, Power.RUNNING, Verdict.CAME_UP),
    (STARTING, Power.RUNNING, Verdict.FINE),
    (RUNNING | GONE_ONCE, Power.RUNNING, Verdict.BACK),
    (RUNNING, None, Verdict.MISSING),
    (OFFLINE, None, Verdict.MISSING),
    (STARTING, None, Verdict.MISSING),
    (RUNNING | GONE_ONCE, None, Verdict.STILL_MISSING),
    (BOOTING, None, Verdict.FINE),
    (DELETING, None, Verdict.FINE),
    (BROKEN, None, Verdict.FINE),
]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("members", "power", "verdict"), VERDICTS)
def test_a_complete_listing_says_of_an_instance(
    instance: Instance, clock: FakeClock, members: dict[str, object], power: Power | None, verdict: Verdict
) -> None:
    row = replace(instance, **members)  # type: ignore[arg-type]
    sighting = None if power is None else make.sighting(row, power)
    asked_at = after(clock.now(), seconds=61)
    assert judge(row, sighting, is_complete=True, asked_at=asked_at, grace_s=60) is verdict
    if sighting is None:
        assert judge(row, None, is_complete=False, asked_at=asked_at, grace_s=60) is Verdict.FINE
        assert judge(row, None, is_complete=True, asked_at=clock.now(), grace_s=60) is Verdict.FINE
