"""Events: written with the change, numbered without gaps for each subject, shown to its project alone."""

from pathlib import Path

import pytest

from berth.base.db import Database, Tx
from berth.core import events, instances, waitlist
from berth.core.errors import Forbidden
from tests import make
from tests.conftest import FakeClock


def record(tx: Tx, by: events.Actor, subject: str) -> None:
    events.record(tx, by, "thing.changed", subject=subject, data={"text": "é€😀", "number": 1, "none": None})


def test_events_of_a_subject_are_numbered_from_one(db: Database, clock: FakeClock) -> None:
    by = make.project(db).by
    for subject in ("a", "b", "a", "a"):
        db.write_now(record, by, subject)
    happened = db.read_now(events.list_for, by, "a")
    assert [event.sequence for event in happened] == [1, 2, 3]
    assert [event.seq for event in happened] == sorted(event.seq for event in happened)
    assert happened[0].data == {"text": "é€😀", "number": 1, "none": None}
    assert (happened[0].created_at, happened[0].actor) == (clock.now(), by.key_id)
    later = db.read_now(events.list_for, by, "a", after_sequence=1, limit=1)
    assert [event.sequence for event in later] == [2]


def test_every_event_of_the_catalogue_is_told_by_somebody() -> None:
    """Those of a status are put together from it; all the others stand in the code by their names."""
    core = Path(events.__file__).parents[1]
    listed = {core / "events" / "catalogue.py", core / "webhooks" / "samples.py"}
    written = "".join(path.read_text() for path in sorted(core.rglob("*.py")) if path not in listed)
    by_status = {f"instance.{each}" for each in instances.Status} | {
        f"waitlist.{each}" for each in waitlist.Status
    }
    assert 'f"instance.{' in written
    assert 'f"waitlist.{' in written
    silent = {
        name
        for name in events.CATALOGUE
        if f'"{name}"' not in written and name not in by_status | {events.TEST, events.DISABLED}
    }
    assert silent == set()


def test_an_undone_change_leaves_no_event(db: Database) -> None:
    by = make.project(db).by

    def change_and_fail(tx: Tx) -> None:
        record(tx, by, "a")
        make.allowed(by).may("deployments:read")

    with pytest.raises(Forbidden):
        db.write_now(change_and_fail)
    assert db.read_now(events.list_for, by, "a") == []


def test_events_are_shown_to_their_project_alone(db: Database) -> None:
    ours, theirs = make.project(db).by, make.project(db).by
    db.write_now(record, ours, "a")
    assert db.read_now(events.list_for, theirs, "a") == []


def test_a_refusal_names_the_scope_that_is_missing() -> None:
    nobody = events.Actor("p", "k", "k", frozenset())
    with pytest.raises(Forbidden) as refusal:
        nobody.may("deployments:write")
    assert refusal.value.details == {"required": "deployments:write"}
    events.system("p", "loop:metering").may("deployments:write")
