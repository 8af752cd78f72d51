"""Which action is allowed when: every pair of status and action, as the retail API's table has it."""

import pytest

from berth.base.db import Database
from berth.core import instances
from berth.core.driver import Abilities
from berth.core.errors import Conflict, InsufficientCredits, NoCapacity
from berth.core.instances import Action, Status, Wanted
from tests import make
from tests.conftest import FakeClock
from tests.core.books import rows

# "changes": something new is wanted; "same": it is so already, nothing is written; "refused": 409.
TABLE = {
    Status.ORDERED: {"start": "refused", "stop": "refused", "restart": "refused", "delete": "changes"},
    Status.PROVISIONING: {"start": "refused", "stop": "refused", "restart": "refused", "delete": "changes"},
    Status.RUNNING: {"start": "same", "stop": "changes", "restart": "changes", "delete": "changes"},
    Status.OFFLINE: {"start": "changes", "stop": "same", "restart": "refused", "delete": "changes"},
    Status.ERROR: {"start": "refused", "stop": "refused", "restart": "refused", "delete": "changes"},
    Status.FAILED_NO_CAPACITY: {
        "start": "refused",
        "stop": "refused",
        "restart": "refused",
        "delete": "changes",
    },
    Status.DELETING: {"start": "refused", "stop": "refused", "restart": "refused", "delete": "same"},
    Status.DELETED: {"start": "refused", "stop": "refused", "restart": "refused", "delete": "same"},
}
# What is under way leaves only delete, and asking for it again.
PENDING = {
    "stop": {"start": "refused", "stop": "same", "restart": "refused", "delete": "changes"},
    "start": {"start": "same", "stop": "refused", "restart": "refused", "delete": "changes"},
    "restart": {"start": "same", "stop": "refused", "restart": "same", "delete": "changes"},
}


def check(db: Database, made: instances.Instance, action: Action, expected: str) -> None:
    before = make.now(db, made)
    allowed = instances.allowed(before, Abilities())
    assert (action in allowed) == (expected == "changes")
    if expected == "refused":
        with pytest.raises(Conflict) as refusal:
            db.write_now(instances.act, make.owner(made), made.id, action, make.RULES)
        assert refusal.value.code == "invalid_state"
        assert refusal.value.details["allowed"] == [other.value for other in allowed]
        assert make.now(db, made) == before
        return
    answer = db.write_now(instances.act, make.owner(made), made.id, action, make.RULES)
    assert make.now(db, made) == answer
    if expected == "same":
        assert answer == before
    else:
        assert answer.sequence == before.sequence + 1
        assert instances.pending(answer) is action


@pytest.mark.parametrize("action", list(Action))
@pytest.mark.parametrize("status", list(Status))
def test_an_action_is_allowed_as_the_table_says(db: Database, status: Status, action: Action) -> None:
    check(db, make.instance(db, status), action, TABLE[status][action])


@pytest.mark.parametrize("action", list(Action))
@pytest.mark.parametrize("doing", PENDING)
def test_an_action_under_way_allows_what_the_table_says(db: Database, doing: str, action: Action) -> None:
    made = make.instance(db, "offline" if doing == "start" else "running")
    db.write_now(instances.act, make.owner(made), made.id, Action(doing), make.RULES)
    check(db, made, action, PENDING[doing][action])


@pytest.mark.parametrize("status", list(Status))
def test_what_is_as_wanted_is_not_due(db: Database, status: Status) -> None:
    made = make.instance(db, status)
    unsettled = {Status.ORDERED, Status.PROVISIONING, Status.DELETING}
    is_due = status in unsettled or (status in instances.FAILED and made.may_exist)
    assert (made.due_at is not None) == is_due
    assert instances.is_settled(made) == (not is_due)
    assert (db.read_now(instances.next_due, providers=[make.PROVIDER]) is not None) == is_due


def test_a_start_needs_credit(db: Database) -> None:
    customer = make.project(db, credit="20")
    made = make.instance(db, "offline", customer.by)
    make.topup(db, customer.by, "-20")
    with pytest.raises(InsufficientCredits) as refusal:
        db.write_now(instances.start, customer.by, made.id)
    assert refusal.value.code == "account_suspended"
    make.topup(db, customer.by, "0.01")
    assert db.write_now(instances.start, customer.by, made.id).wanted is Wanted.RUNNING


def test_a_start_needs_the_hardware_that_the_stop_gave_back(db: Database) -> None:
    customer = make.project(db, credit="100")
    make.catalogue(db, make.offer(free=1))
    made = make.instance(db, "offline", customer.by)
    other = make.instance(db, "running", customer.by)
    with pytest.raises(NoCapacity):
        db.write_now(instances.start, customer.by, made.id)
    db.write_now(instances.delete, customer.by, other.id, make.RULES)
    make.seen(db, other, instances.gone, make.RULES)
    db.write_now(instances.start, customer.by, made.id)
    assert rows(db, "SELECT free_units FROM offers") == [(0,)]


def test_hardware_that_was_kept_while_stopped_is_there_for_the_start(db: Database, clock: FakeClock) -> None:
    customer = make.project(db, credit="100")
    make.catalogue(db, make.offer(free=1))
    made = make.instance(db, "running", customer.by)
    db.write_now(instances.stop, customer.by, made.id)
    make.seen(db, made, instances.stopped, releases_hardware=False)
    with pytest.raises(NoCapacity):
        make.ordered(db, customer.by)
    assert make.balance(db, customer.by).burn_micros_per_hour == made.price
    db.write_now(instances.start, customer.by, made.id)
    make.seen(db, made, instances.reachable, make.sighting(made))
    assert make.now(db, made).status is Status.RUNNING
    assert len(rows(db, "SELECT 1 FROM segments")) == 1
