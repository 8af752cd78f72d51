"""What a cluster is, read off its members: a table."""

from dataclasses import replace
from typing import Any

import pytest

from berth.base.clock import Instant
from berth.base.db import Database
from berth.core.clusters import Status as Whole
from berth.core.clusters import View, states
from berth.core.clusters import Wanted as WholeWanted
from berth.core.instances import Instance, Status, Wanted
from tests import clustering, make

_BOOTING = {"status": Status.PROVISIONING}
_READY = {"status": Status.PROVISIONING, "ready_at": Instant(7)}
_RUNNING = {"status": Status.RUNNING, "ready_at": Instant(7)}
_OFF = {"status": Status.OFFLINE, "wanted": Wanted.OFFLINE, "status_reason": "insufficient_credits"}
_FAILED = {"status": Status.ERROR, "status_reason": "boot_failed: It did not boot."}
_SOLD_OUT = {"status": Status.FAILED_NO_CAPACITY, "status_reason": "no_capacity: Nothing is left."}
_ENDING = {"status": Status.DELETING, "wanted": Wanted.DELETED, "status_reason": "term_ended"}
_GONE = {"status": Status.DELETED, "wanted": Wanted.DELETED}


@pytest.fixture
def view(db: Database) -> View:
    clustering.shop(db)
    cluster = clustering.ordered(db, make.project(db, credit="1000").by)
    return clustering.now(db, cluster)


@pytest.mark.parametrize(
    ("members", "has_run", "step", "status"),
    [
        ([{}, {}, {}], False, "nothing", "provisioning"),
        ([_READY, _BOOTING, _READY], False, "nothing", "provisioning"),
        ([_READY, _READY, _READY], False, "muster", "running"),
        ([_READY, _FAILED, _READY], False, "fail", "error"),
        ([_SOLD_OUT, _BOOTING, {}], False, "fail", "no_capacity"),
        ([_READY, _ENDING, _READY], False, "end", "deleting"),
        ([_RUNNING, _RUNNING, _RUNNING], True, "show", "running"),
        ([_OFF, _RUNNING, _RUNNING], True, "show", "offline"),
        ([_OFF, _OFF, _OFF], True, "show", "offline"),
        ([_RUNNING, _FAILED, _OFF], True, "show", "error"),
        ([_RUNNING, _ENDING, _RUNNING], True, "end", "deleting"),
        ([_RUNNING, _FAILED, _GONE], True, "end", "deleting"),
    ],
)
def test_what_comes_next(
    view: View, members: list[dict[str, Any]], has_run: bool, step: str, status: str
) -> None:
    cluster = replace(view.cluster, first_running_at=Instant(9) if has_run else None)
    outlook = states.follow(cluster, _as(view, members))
    assert (outlook.step.value, outlook.status.value) == (step, status)


@pytest.mark.parametrize(
    ("members", "status"),
    [
        ([_GONE, _GONE, _GONE], "discontinued"),
        ([_GONE, _ENDING, _GONE], "deleting"),
        ([_GONE, _FAILED, _GONE], "deleting"),
    ],
)
def test_what_is_discontinued_is_so_once_all_members_are_gone(
    view: View, members: list[dict[str, Any]], status: str
) -> None:
    cluster = replace(view.cluster, wanted=WholeWanted.DISCONTINUED)
    assert states.follow(cluster, _as(view, members)).status.value == status


def test_what_failed_before_it_ran_stays_so_whatever_becomes_of_its_members(view: View) -> None:
    cluster = replace(view.cluster, status=Whole.NO_CAPACITY)
    outlook = states.follow(cluster, _as(view, [_SOLD_OUT, _GONE, _ENDING]))
    assert (outlook.step, outlook.status) == (states.Step.NOTHING, Whole.NO_CAPACITY)


def _as(view: View, members: list[dict[str, Any]]) -> list[Instance]:
    found = [view.jump_host, *view.workers]
    return [replace(member, **changed) for member, changed in zip(found, members, strict=True)]
