"""Startup scripts: kept to the letter, copied into what is ordered with them."""

from typing import Any

import pytest

from berth.base.db import Database
from berth.core import instances, scripts
from berth.core.errors import Conflict, Forbidden, Invalid, NotFound
from berth.core.events import Actor
from berth.core.scripts import Script
from tests import make
from tests.conftest import FakeClock
from tests.core.books import rows

TEXT = "#!/bin/sh\r\n\techo hé\n\n"


def add(db: Database, by: Actor, name: str = "setup", text: str = TEXT, **members: int) -> Script:
    return db.write_now(scripts.add, by, name=name, text=text, **members)


def listed(db: Database, by: Actor, **members: int) -> tuple[list[str], int]:
    found, total = db.read_now(scripts.list_page, by, **members)
    return [script.name for script in found], total


def test_a_script_is_kept_to_the_letter_and_names_repeat(db: Database) -> None:
    by = make.project(db).by
    first, second = add(db, by), add(db, by)
    assert first.id != second.id
    assert db.read_now(scripts.get, by, first.id) == first
    assert first.text == TEXT
    assert add(db, by, text="").text == ""


def test_pages_are_newest_first_and_tell_how_many_there_are(db: Database, clock: FakeClock) -> None:
    by = make.project(db).by
    for name in "abcde":
        add(db, by, name)
        clock.advance(seconds=1)
    assert listed(db, by) == (list("edcba"), 5)
    assert listed(db, by, page=1, size=2) == (["e", "d"], 5)
    assert listed(db, by, page=3, size=2) == (["a"], 5)
    assert listed(db, by, page=4, size=2) == ([], 5)
    for wrong in ({"page": 0}, {"size": 0}, {"size": 1001}, {"page": 10**9}):
        with pytest.raises(Invalid):
            listed(db, by, **wrong)


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 256}, "name"),
        ({"name": "two\nlines"}, "name"),
        ({"text": "x" * (64 * 1024 + 1)}, "script"),
        ({"text": "é" * (32 * 1024 + 1)}, "script"),
        ({"text": "\0"}, "script"),
        ({"text": "\ud800"}, "script"),
    ],
)
def test_what_is_no_script_is_refused(db: Database, members: dict[str, str], field: str) -> None:
    by = make.project(db).by
    with pytest.raises(Invalid) as refused:
        add(db, by, **members)  # type: ignore[arg-type]
    assert refused.value.details["field"] == field
    assert add(db, by, text="é" * 32 * 1024).text == "é" * 32 * 1024


def test_a_project_keeps_only_so_many(db: Database) -> None:
    by = make.project(db).by
    kept = [add(db, by, limit=2) for _ in range(2)]
    with pytest.raises(Conflict) as refused:
        add(db, by, limit=2)
    assert refused.value.code == "quota"
    add(db, make.project(db).by, limit=2)
    db.write_now(scripts.remove, by, kept[0].id)
    add(db, by, limit=2)


def test_one_is_removed_once_and_many_without_asking_whether_they_are_there(db: Database) -> None:
    by = make.project(db).by
    kept = [add(db, by, name) for name in "abc"]
    db.write_now(scripts.remove, by, kept[0].id)
    with pytest.raises(NotFound):
        db.write_now(scripts.remove, by, kept[0].id)
    removed = db.write_now(scripts.remove_many, by, [kept[0].id, kept[1].id, kept[1].id, "nonsense", "nul\0"])
    assert [script.name for script in removed] == ["b"]
    assert listed(db, by) == (["c"], 1)
    with pytest.raises(Invalid):
        db.write_now(scripts.remove_many, by, ["x"] * 1001)
    told = [row[0] for row in rows(db, "SELECT type FROM events WHERE type LIKE 'script%' ORDER BY seq")]
    assert told == ["script.created"] * 3 + ["script.deleted"] * 2


def test_nobody_sees_or_removes_anothers(db: Database) -> None:
    script, other = add(db, make.project(db).by), make.project(db).by
    with pytest.raises(NotFound):
        db.read_now(scripts.get, other, script.id)
    assert db.write_now(scripts.remove_many, other, [script.id]) == []
    with pytest.raises(NotFound):
        db.write_now(scripts.remove, other, script.id)
    with pytest.raises(Invalid):
        make.ordered(db, other, startup_script_id=script.id)


def test_writing_needs_the_scope_for_it(db: Database) -> None:
    by = make.project(db).by
    script, reader = add(db, by), make.allowed(by, "deployments:read")
    assert db.read_now(scripts.get, reader, script.id) == script
    with pytest.raises(Forbidden):
        add(db, reader)
    with pytest.raises(Forbidden):
        db.write_now(scripts.remove, reader, script.id)


def test_an_order_names_a_script_and_keeps_its_text_for_good(db: Database) -> None:
    by = make.project(db).by
    script = add(db, by)
    made = make.ordered(db, by, startup_script_id=script.id)
    db.write_now(scripts.remove, by, script.id)
    now = make.now(db, made)
    assert (now.startup_script_id, now.startup_script) == (script.id, TEXT)
    order = db.read_now(instances.create_order, now, install_id="install")
    assert order.startup_script == TEXT
    assert make.ordered(db, by).startup_script_id is None


@pytest.mark.parametrize("members", [{}, {"startup_script": "echo"}])
def test_an_order_with_an_unknown_script_or_two_is_refused(db: Database, members: dict[str, Any]) -> None:
    by = make.project(db).by
    known = add(db, by).id
    with pytest.raises(Invalid) as refused:
        make.ordered(db, by, startup_script_id=known if members else "nonsense", **members)
    assert refused.value.details["field"] == "startup_script_id"
