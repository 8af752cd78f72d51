"""Who did what: every change, over all projects, newest first, page by page."""

from typing import Any

import pytest

from berth.base.db import Database, Tx
from berth.core import events
from berth.core.events import Actor, Event, Search, auditing
from tests import make
from tests.conftest import FakeClock


def found(db: Database, limit: int = 100, span: int = auditing.SPAN, **members: Any) -> list[Event]:
    events_found: list[Event] = []
    before = None
    while True:
        look = db.read_now(events.look, Search(**members), before_seq=before, limit=limit, span=span)
        events_found += look.events
        before = look.before_seq
        if before is None:
            return events_found


def happen(db: Database, by: Actor, kind: str, subject: str, count: int = 1) -> None:
    def work(tx: Tx) -> None:
        for _ in range(count):
            events.record(tx, by, kind, subject=subject)

    db.write_now(work)


def test_the_trail_goes_over_all_projects_newest_first(db: Database) -> None:
    ours, theirs = make.project(db, credit="0"), make.project(db, credit="0")
    happen(db, ours.by, "volume.created", "v1")
    happen(db, events.system(theirs.id, "loop:credit"), "billing.depleted", theirs.id)
    listed = found(db)
    assert [(event.project, event.actor, event.type) for event in listed[:2]] == [
        (theirs.id, "loop:credit", "billing.depleted"),
        (ours.id, ours.by.key_id, "volume.created"),
    ]
    assert [event.type for event in listed[2:]] == ["project.created", "project.created"]


def test_it_is_filtered_by_what_is_asked_for(db: Database, clock: FakeClock) -> None:
    ours, theirs = make.project(db), make.project(db)
    start = clock.advance(seconds=60)
    happen(db, ours.by, "volume.created", "v1")
    middle = clock.advance(seconds=60)
    happen(db, theirs.by, "volume.deleted", "v2")
    happen(db, theirs.by, "volumes", "v2")

    def subjects(**members: Any) -> list[str]:
        return [event.subject for event in found(db, since=start, **members)]

    assert subjects() == ["v2", "v2", "v1"]
    assert subjects(project=ours.id) == ["v1"]
    assert subjects(actor=theirs.by.key_id) == ["v2", "v2"]
    assert subjects(type="volume.*") == ["v2", "v1"]
    assert subjects(type="volume.created") == ["v1"]
    assert subjects(type="volume") == []
    assert subjects(subject="v1") == ["v1"]
    assert subjects(until=middle) == ["v1"]
    assert subjects(until=start) == []


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_pages_neither_skip_nor_repeat(db: Database, limit: int) -> None:
    by = make.project(db, credit="0").by
    happen(db, by, "volume.created", "v", count=5)
    listed = found(db, limit=limit)
    assert [event.seq for event in listed] == sorted((event.seq for event in listed), reverse=True)
    assert len(listed) == 6


def test_what_is_rare_is_found_span_by_span(db: Database, clock: FakeClock) -> None:
    by = make.project(db, credit="0").by
    happen(db, by, "rare", "v")
    clock.advance(seconds=2 * 3600)
    happen(db, by, "often", "w", count=25)
    first = db.read_now(events.look, Search(type="rare"), before_seq=None, limit=5, span=20)
    assert (first.events, first.before_seq is None) == ((), False)
    assert [event.type for event in found(db, type="rare", span=20)] == ["rare"]
    assert [event.type for event in found(db, subject="v", span=20)] == ["rare"]
    young = Search(type="rare", since=clock.now())
    recent = db.read_now(events.look, young, before_seq=None, limit=5, span=20)
    assert recent.before_seq is not None  # the span begins among the young ones
    older = db.read_now(events.look, young, before_seq=recent.before_seq, limit=5, span=6)
    assert (older.events, older.before_seq) == ((), None)


def test_what_happens_from_now_on_is_read_oldest_first(db: Database) -> None:
    by = make.project(db, credit="0").by
    latest = db.read_now(events.latest_seq)
    happen(db, by, "volume.created", "v", count=3)
    newer = list(db.read_now(events.newer, Search(), after_seq=latest, limit=10))
    assert [event.sequence for event in newer] == [1, 2, 3]
    assert list(db.read_now(events.newer, Search(), after_seq=newer[-1].seq, limit=10)) == []
