"""Any sequence of what owners ask and loops see: numbers, units and money never drift."""

from contextlib import suppress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from berth.base.db import Database
from berth.core import billing, instances
from berth.core.errors import Refusal
from berth.core.events import Actor
from berth.core.instances import Action, Instance, Status
from tests import make
from tests.conftest import FakeClock
from tests.core.books import amounts, assert_exact, clear, rows

UNITS = 3
OWNER = [*Action]
SEEN = [
    *("intend_create", "created", "found", "did_not_happen", "look_again", "fail_over", "fail", "reachable"),
    *("stopped", "stopped_reserved", "start_failed", "restart_unconfirmed", "gone", "vanished", "went_down"),
]
steps = st.one_of(
    st.tuples(st.just("order"), st.just(0)),
    st.tuples(st.sampled_from(OWNER), st.integers(0, 3)),
    st.tuples(st.sampled_from(SEEN), st.integers(0, 3)),
    st.tuples(st.just("step"), st.integers(0, 3)),
    st.tuples(st.just("wait"), st.sampled_from([1, 59, 600, 601, 5000])),
    st.tuples(st.just("sweep"), st.just(0)),
)
# What usually comes next, so that a sequence gets further than chance would take it.
USUAL = {
    Status.ORDERED: "intend_create",
    Status.PROVISIONING: "reachable",
    Status.RUNNING: "stopped",
    Status.OFFLINE: "reachable",
    Status.DELETING: "gone",
    Status.ERROR: "gone",
}


def apply(db: Database, made: Instance, verb: str) -> None:
    """One verb of a loop, where the loop could come to call it."""
    now = make.now(db, made)
    sighting = make.sighting(now)
    if not _could_come(now, verb):
        return
    calls: dict[str, tuple[Any, tuple[Any, ...], dict[str, Any]]] = {
        "intend_create": (instances.intend_create, (), {"boot_timeout_s": 600}),
        "created": (instances.created, (sighting,), {}),
        "found": (instances.found, (sighting,), {}),
        "did_not_happen": (instances.did_not_happen, (), {"retry_s": 1}),
        "look_again": (instances.look_again, (), {"retry_s": 1}),
        "fail_over": (instances.fail_over, (), {"is_sold_out": False, "reason": "refused"}),
        "fail": (instances.fail, (), {"reason": "boot_failed"}),
        "reachable": (instances.reachable, (sighting,), {}),
        "stopped": (instances.stopped, (), {"releases_hardware": True}),
        "stopped_reserved": (instances.stopped, (), {"releases_hardware": False}),
        "start_failed": (instances.start_failed, (), {"reason": "start_refused"}),
        "restart_unconfirmed": (instances.restart_unconfirmed, (), {"reason": "restart_timeout"}),
        "gone": (instances.gone, (make.RULES,), {}),
        "vanished": (instances.vanished, (), {"seen_at": now.updated_at, "reason": "host_lost"}),
        "went_down": (instances.went_down, (), {"seen_at": now.updated_at}),
    }
    called, values, named = calls[verb]
    db.write_now(called, now, *values, **named)


def _could_come(now: Instance, verb: str) -> bool:
    """Whether a loop could come to call `verb`: it acts on what it read off the row."""
    is_booting = now.status in {Status.ORDERED, Status.PROVISIONING}
    is_deleting = now.status is Status.DELETING
    conditions = {
        "did_not_happen": now.handle is None,
        "created": now.create_sent_at is not None,
        "found": now.create_sent_at is not None,
        "fail": is_booting or is_deleting,
        "fail_over": now.handle is None and (is_booting or is_deleting),
        "reachable": now.handle is not None and now.status not in instances.FAILED,
        "stopped": now.status is Status.RUNNING,
        "stopped_reserved": now.status is Status.RUNNING,
        "start_failed": now.status is Status.OFFLINE,
        "restart_unconfirmed": now.is_restart_wanted,
        "gone": is_deleting or now.status in instances.FAILED,
    }
    return conditions.get(verb, True)


def assert_true(db: Database, project: str) -> None:
    real = rows(db, "SELECT project_id, status, COUNT(*) FROM instances GROUP BY 1, 2 ORDER BY 1, 2")
    kept = rows(db, "SELECT project_id, status, count FROM instance_counts WHERE count <> 0 ORDER BY 1, 2")
    assert kept == real
    claimed = rows(db, "SELECT COUNT(*) FROM claims")[0][0]
    assert rows(db, "SELECT SUM(free_units) FROM offers") == [(2 * UNITS - claimed,)]
    holders = "SELECT COUNT(*) FROM claims WHERE subject NOT IN (SELECT id FROM instances WHERE status <> 'deleted')"
    assert rows(db, holders) == [(0,)], "a unit is claimed for what is gone"
    running = "SELECT id FROM instances WHERE status = 'running' AND id NOT IN (SELECT subject FROM claims)"
    assert rows(db, running) == [], "something runs on a unit that others may take"
    meters = (
        "SELECT i.id FROM instances i LEFT JOIN segments s ON s.subject = i.id AND s.ended_at IS NULL"
        " WHERE (i.status = 'running') <> (s.subject IS NOT NULL) AND NOT (i.status = 'offline')"
    )
    assert rows(db, meters) == [], "a meter runs without its instance, or the other way round"
    ended = "SELECT subject FROM holds WHERE subject IN (SELECT id FROM instances WHERE status IN ('error', 'deleted'))"
    assert rows(db, ended) == [], "money is held for what is over"
    assert_exact(db)


def order(db: Database, by: Actor) -> list[Instance]:
    try:
        return [make.ordered(db, by)]
    except Refusal:
        return []  # sold out


def take(db: Database, target: Instance, step: str) -> None:
    """A step of an owner, of a loop, or the one that usually comes next."""
    if step in OWNER:
        with suppress(Refusal):  # refused is an answer, and changes nothing
            db.write_now(instances.act, make.owner(target), target.id, Action(step), make.RULES)
    elif step != "step":
        apply(db, target, step)
    else:
        status = make.now(db, target).status
        if status is Status.PROVISIONING:
            apply(db, target, "created")
        if status in USUAL:
            apply(db, target, USUAL[status])


@given(sequence=st.lists(steps, min_size=5, max_size=40))
def test_whatever_is_asked_and_seen_nothing_drifts(
    db: Database, clock: FakeClock, sequence: list[tuple[str, int]]
) -> None:
    clear(db)
    by = make.project(db, credit="1000").by
    offers = [make.offer(free=UNITS, name=name) for name in ("one", "two")]
    make.catalogue(db, *offers)
    made: list[Instance] = [make.ordered(db, by)]
    for step, value in sequence:
        if step == "order":
            made += order(db, by)
        elif step == "wait":
            clock.advance(seconds=value)
        elif step == "sweep":
            db.write_now(billing.sweep)
        else:
            take(db, made[value % len(made)], step)
        assert_true(db, by.project)
    for one in made:
        before = make.now(db, one).status
        db.write_now(instances.delete, by, one.id, make.RULES)
        make.seen(db, one, instances.gone, make.RULES)
        if before in instances.FAILED and make.now(db, one).first_running_at is None:
            assert amounts(db, by.project, one.id) == [] or sum(amounts(db, by.project, one.id)) == 0
    assert rows(db, "SELECT 1 FROM claims") == []
    assert rows(db, "SELECT 1 FROM holds") == []
    assert rows(db, "SELECT 1 FROM segments WHERE ended_at IS NULL") == []
    assert_true(db, by.project)
