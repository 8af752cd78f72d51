"""Webhooks: who is told of what, exactly once each, and which there can be."""

import base64
from concurrent.futures import ThreadPoolExecutor

import pytest

from berth.base import secrets
from berth.base.db import Database, Tx
from berth.core import events, webhooks
from berth.core.errors import Conflict, Forbidden, Invalid, NotFound
from berth.core.webhooks import Changes, Filter
from tests import make
from tests.conftest import FakeClock
from tests.core.outbox import BAD, RULES, finish, happens, statuses, take, taken

# Who is told.


def test_each_event_makes_one_delivery_for_each_webhook_that_asked_for_it(db: Database) -> None:
    by = make.project(db).by
    every, _ = make.webhook(db, by)
    family, _ = make.webhook(db, by, "billing.*")
    exact, _ = make.webhook(db, by, "billing.credited", "billing.credited", "*")
    make.webhook(db, by, "instance.*", "gpu.available")
    happens(db, by)
    rows = make.deliveries(db)
    assert sorted(row.webhook_id for row in rows) == sorted([every.id, family.id, exact.id])
    assert {row.event_type for row in rows} == {"billing.credited"}
    assert exact.events == ("billing.credited", "*")


def test_another_project_is_not_told(db: Database) -> None:
    ours, theirs = make.project(db).by, make.project(db).by
    make.webhook(db, theirs)
    happens(db, ours)
    assert make.deliveries(db) == []


def test_what_the_catalogue_lacks_stays_in_the_house(db: Database) -> None:
    by = make.project(db).by
    make.webhook(db, by)
    for event_type in ("project.created", "instance.placed_again", "webhook.updated", "orphan.found"):
        happens(db, by, event_type)
    assert make.deliveries(db) == []


def test_a_change_that_is_undone_tells_nobody(db: Database) -> None:
    by = make.project(db).by
    make.webhook(db, by)
    heard: list[str] = []
    db.on_signal = heard.append

    def change_and_fail(tx: Tx) -> None:
        events.record(tx, by, "billing.credited", subject="s")
        make.allowed(by).may("billing:write")

    with pytest.raises(Forbidden):
        db.write_now(change_and_fail)
    assert (make.deliveries(db), heard) == ([], [])
    happens(db, by)
    assert heard == ["deliveries"]


def test_an_instance_is_told_of_at_every_step(db: Database) -> None:
    by = make.project(db, credit="100").by
    make.catalogue(db)
    make.webhook(db, by, "instance.*")
    make.instance(db, "deleted", by)
    assert [row.event_type for row in make.deliveries(db)] == [
        f"instance.{status}" for status in ("ordered", "provisioning", "running", "deleting", "deleted")
    ]


def test_while_it_is_not_active_events_are_kept_as_skipped(db: Database) -> None:
    by = make.project(db).by
    webhook, _ = make.webhook(db, by)
    off = db.write_now(webhooks.update, by, webhook.id, Changes(is_active=False), rules=RULES)
    assert (off.is_active, off.disabled_reason) == (False, "requested")
    happens(db, by)
    assert statuses(db) == ["skipped"]
    assert take(db) is None
    on = db.write_now(webhooks.update, by, webhook.id, Changes(is_active=True), rules=RULES)
    assert (on.is_active, on.disabled_reason, on.disabled_at) == (True, None, None)
    assert take(db) is None
    happens(db, by)
    assert statuses(db) == ["skipped", "pending"]


def test_what_waits_when_it_is_switched_off_is_skipped_and_what_waits_when_it_is_deleted_is_dropped(
    db: Database,
) -> None:
    by = make.project(db).by
    first, _ = make.webhook(db, by)
    second, _ = make.webhook(db, by)
    happens(db, by)
    db.write_now(webhooks.update, by, first.id, Changes(is_active=False), rules=RULES)
    db.write_now(webhooks.delete, by, second.id)
    assert take(db) is None
    assert statuses(db) == ["skipped", "skipped"]
    assert db.read_now(webhooks.next_due) is None


def test_what_waits_for_its_next_attempt_when_it_is_deleted_is_dropped_at_once(db: Database) -> None:
    by = make.project(db).by
    webhook, _ = make.webhook(db, by)
    for _ in range(3):
        happens(db, by)
    on_its_way = taken(db)
    assert finish(db, taken(db), BAD)
    db.write_now(webhooks.delete, by, webhook.id)
    assert statuses(db) == ["pending", "skipped", "skipped"]
    assert finish(db, on_its_way)
    assert statuses(db) == ["success", "skipped", "skipped"]
    assert db.read_now(webhooks.next_due) is None


# Registering.


def test_a_secret_is_shown_once_and_kept_sealed(db: Database) -> None:
    by = make.project(db).by
    webhook, secret = make.webhook(db, by)
    key = base64.b64decode(secret.removeprefix("whsec_"))
    assert len(key) == 32
    assert secret.startswith("whsec_")
    sealed = webhook.secrets[0].sealed
    assert secret[6:] not in sealed
    assert secrets.unseal(make.PEPPER, sealed, about=webhook.id) == key
    for pepper, about in ((b"another pepper", webhook.id), (make.PEPPER, "another")):
        with pytest.raises(secrets.Unreadable):
            secrets.unseal(pepper, sealed, about=about)
    with pytest.raises(secrets.Unreadable):
        secrets.unseal(make.PEPPER, "not base64!", about=webhook.id)


@pytest.mark.parametrize("patterns", [[], ["instance.sleeping"], ["deployment.running"], ["instance*"], [""]])
def test_an_event_that_does_not_exist_is_refused_with_all_that_do(db: Database, patterns: list[str]) -> None:
    by = make.project(db).by

    def create(tx: Tx) -> object:
        return webhooks.create(
            tx, by, url="https://r.example/", events=patterns, pepper=make.PEPPER, rules=RULES
        )

    with pytest.raises(Invalid) as refusal:
        db.write_now(create)
    assert refusal.value.code == "invalid_field"
    if patterns:
        valid = refusal.value.details["valid_events"]
        assert isinstance(valid, list)
        assert {"*", "instance.*", "instance.running", "gpu.available"} <= set(valid)


def test_a_project_has_ten_at_most_however_many_ask_at_once(db: Database) -> None:
    by = make.project(db).by

    def one(_number: int) -> bool:
        try:
            make.webhook(db, by)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(6) as threads:
        assert sum(threads.map(one, range(16))) == 10
    some = db.read_now(webhooks.list_webhooks, by)
    assert len(some) == 10
    db.write_now(webhooks.delete, by, some[0].id)
    make.webhook(db, by)


def test_texts_have_a_limit_and_can_be_taken_away(db: Database) -> None:
    by = make.project(db).by
    webhook, _ = make.webhook(db, by)
    named = db.write_now(
        webhooks.update, by, webhook.id, Changes(name="n" * 120, description="d"), rules=RULES
    )
    assert (named.name, named.description) == ("n" * 120, "d")
    for wrong in ("n" * 121, "a\nb"):
        with pytest.raises(Invalid):
            db.write_now(webhooks.update, by, webhook.id, Changes(name=wrong), rules=RULES)
    assert db.write_now(webhooks.update, by, webhook.id, Changes(name=""), rules=RULES).name is None


def test_a_change_of_nothing_changes_nothing(db: Database, clock: FakeClock) -> None:
    by = make.project(db).by
    webhook, _ = make.webhook(db, by)
    clock.advance(seconds=60)
    assert db.write_now(webhooks.update, by, webhook.id, Changes(), rules=RULES) == webhook
    same = Changes(url=webhook.url, events=webhook.events, is_active=True)
    assert db.write_now(webhooks.update, by, webhook.id, same, rules=RULES) == webhook


def test_the_audit_log_says_where_it_points_and_who_turned_it_there(db: Database) -> None:
    by = make.project(db).by
    webhook, secret = make.webhook(db, by, url="https://receiver.example/hook?token=hidden")
    changes = Changes(url="https://other.example:8443/token/hidden", is_active=False)
    db.write_now(webhooks.update, by, webhook.id, changes, rules=RULES)
    db.write_now(webhooks.rotate_secret, by, webhook.id, overlap_seconds=0, pepper=make.PEPPER)
    db.write_now(webhooks.delete, by, webhook.id)
    happened = db.read_now(events.list_for, by, webhook.id)
    assert [(event.type, event.data["host"], event.data["is_active"]) for event in happened] == [
        ("webhook.created", "receiver.example", True),
        ("webhook.updated", "other.example:8443", False),
        ("webhook.secret_rotated", "other.example:8443", False),
        ("webhook.deleted", "other.example:8443", False),
    ]
    assert {event.actor for event in happened} == {by.key_id}
    for hidden in ("hidden", secret):
        assert hidden not in str(happened)


def test_what_it_is_told_of_follows_its_row(db: Database) -> None:
    by = make.project(db).by
    webhook, _ = make.webhook(db, by, "billing.*")
    changed = db.write_now(
        webhooks.update,
        by,
        webhook.id,
        Changes(events=["gpu.available"], url="https://n.example/"),
        rules=RULES,
    )
    assert changed.secrets == webhook.secrets
    happens(db, by)
    assert make.deliveries(db) == []
    happens(db, by, "gpu.available")
    assert taken(db).url == "https://n.example/"


def test_somebody_elses_is_not_found(db: Database) -> None:
    ours, theirs = make.project(db).by, make.project(db).by
    webhook, _ = make.webhook(db, ours)
    for verb in (webhooks.get, webhooks.delete, webhooks.send_test):
        with pytest.raises(NotFound):
            db.write_now(verb, theirs, webhook.id)
    with pytest.raises(NotFound):
        db.write_now(webhooks.list_deliveries, theirs, webhook.id, Filter(), after=None, limit=1)


# Secrets that change.


def test_until_the_overlap_ends_both_secrets_sign(db: Database, clock: FakeClock) -> None:
    by = make.project(db).by
    webhook, first = make.webhook(db, by)
    happens(db, by)
    happens(db, by)

    def rotate(overlap_seconds: int) -> str:
        return db.write_now(
            webhooks.rotate_secret, by, webhook.id, overlap_seconds=overlap_seconds, pepper=make.PEPPER
        )[1]

    second = rotate(3600)
    keys = [base64.b64decode(each.removeprefix("whsec_")) for each in (second, first)]
    leased = taken(db)
    assert list(leased.secrets) == keys
    clock.advance(seconds=3600)
    assert list(taken(db).secrets) == keys[:1]
    third = rotate(0)
    happens(db, by)
    assert list(taken(db).secrets) == [base64.b64decode(third.removeprefix("whsec_"))]


def test_an_overlap_has_a_limit(db: Database) -> None:
    by = make.project(db).by
    webhook, _ = make.webhook(db, by)
    for wrong in (-1, 604_801):
        with pytest.raises(Invalid):
            db.write_now(webhooks.rotate_secret, by, webhook.id, overlap_seconds=wrong, pepper=make.PEPPER)
