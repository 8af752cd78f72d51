"""One answer for one key, kept with the work it answers for, for a day."""

from functools import partial

import pytest

from berth.base import ids
from berth.base.db import Database, Tx
from berth.core import idempotency
from berth.core.errors import Conflict
from berth.core.events import Actor
from berth.core.idempotency import Answer
from tests import make
from tests.conftest import FakeClock
from tests.core.books import rows
from tests.core.together import failed, overlap, succeeded, together

ANSWER = Answer(200, '{"code":"OK"}')


def code(db: Database, by: Actor, key: str, fingerprint: str) -> str:
    with pytest.raises(Conflict) as refusal:
        db.read_now(idempotency.find, by, key, fingerprint)
    return refusal.value.code


def test_the_same_request_gets_the_same_answer(db: Database) -> None:
    by = make.project(db).by
    assert db.read_now(idempotency.find, by, "k", "f") is None
    db.write_now(idempotency.remember, by, "k", "f", ANSWER)
    assert db.read_now(idempotency.find, by, "k", "f") == ANSWER
    assert db.read_now(idempotency.find, by, "other", "f") is None


def test_a_key_used_for_another_request_is_refused(db: Database) -> None:
    by = make.project(db).by
    db.write_now(idempotency.remember, by, "k", "f", ANSWER)
    assert code(db, by, "k", "another") == "idempotency_key_reused"


def test_keys_of_other_projects_and_lineages_do_not_meet(db: Database) -> None:
    ours, theirs = make.project(db).by, make.project(db).by
    db.write_now(idempotency.remember, ours, "k", "f", ANSWER)
    assert db.read_now(idempotency.find, theirs, "k", "f") is None
    another_key = Actor(ours.project, "key-2", "lineage-2", ours.scopes)
    assert db.read_now(idempotency.find, another_key, "k", "f") is None
    rotated = Actor(ours.project, "key-3", ours.lineage, ours.scopes)
    assert db.read_now(idempotency.find, rotated, "k", "f") == ANSWER


def test_an_answer_is_forgotten_after_a_day(db: Database, clock: FakeClock) -> None:
    by = make.project(db).by
    db.write_now(idempotency.remember, by, "k", "f", ANSWER)
    clock.advance(seconds=86_399.999999)
    assert db.read_now(idempotency.find, by, "k", "f") == ANSWER
    assert db.write_now(idempotency.forget_expired) == 0
    clock.advance(micros=1)
    assert db.read_now(idempotency.find, by, "k", "f") is None
    db.write_now(idempotency.remember, by, "k", "another", Answer(200, "new"))
    assert db.read_now(idempotency.find, by, "k", "another") == Answer(200, "new")


def test_expired_answers_are_deleted_in_batches(db: Database, clock: FakeClock) -> None:
    by = make.project(db).by

    def remember_many(tx: Tx) -> None:
        for number in range(700):
            idempotency.remember(tx, by, f"{number}", "f", ANSWER)

    db.write_now(remember_many)
    clock.advance(seconds=86_400)
    db.write_now(idempotency.remember, by, "new", "f", ANSWER)
    assert [db.write_now(idempotency.forget_expired) for _ in range(3)] == [500, 200, 0]
    assert rows(db, "SELECT key FROM idempotency_records") == [("new",)]


def test_an_answer_is_kept_only_with_its_work(db: Database) -> None:
    by = make.project(db).by

    def work_and_fail(tx: Tx) -> None:
        idempotency.remember(tx, by, "k", "f", ANSWER)
        raise Conflict("no_capacity", "Sold out.")

    with pytest.raises(Conflict):
        db.write_now(work_and_fail)
    assert db.read_now(idempotency.find, by, "k", "f") is None


def test_an_answer_larger_than_any_should_be_is_a_bug(db: Database) -> None:
    by = make.project(db).by
    db.write_now(idempotency.remember, by, "k", "f", Answer(200, "x" * 65_536))
    with pytest.raises(AssertionError):
        db.write_now(idempotency.remember, by, "l", "f", Answer(200, "x" * 65_537))


def deploy_once(by: Actor, tx: Tx) -> str:
    """What a face does: look, work, keep the answer, in one transaction."""
    known = idempotency.find(tx, by, "k", "f")
    if known is not None:
        return known.body
    tx.run("INSERT INTO installation (key, value) VALUES (:key, 'made')", key=ids.new(tx.now))
    idempotency.remember(tx, by, "k", "f", ANSWER)
    return "worked"


def test_of_many_at_once_one_works_and_the_rest_replay_or_wait(db: Database) -> None:
    by = make.project(db).by
    outcomes = together([partial(db.write_now, partial(deploy_once, by))] * 16)
    for error in failed(outcomes, Conflict):
        assert isinstance(error, Conflict)
        assert error.code == "idempotency_in_flight"
    assert succeeded(outcomes).count("worked") == 1
    assert len(rows(db, "SELECT 1 FROM installation WHERE value = 'made'")) == 1
    assert db.write_now(partial(deploy_once, by)) == ANSWER.body


def test_the_second_of_two_that_overlap_leaves_nothing_behind(db: Database) -> None:
    by = make.project(db).by
    outcomes = overlap(db, partial(deploy_once, by), partial(deploy_once, by))
    failed(outcomes, Conflict)
    assert len(rows(db, "SELECT 1 FROM installation WHERE value = 'made'")) == 1
