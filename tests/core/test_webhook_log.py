"""Tests of a webhook, sending again, and the log of what was sent."""

from dataclasses import replace

import pytest

from berth.base import ids
from berth.base.clock import DAY, HOUR, SECOND, Instant
from berth.base.db import Database
from berth.base.paging import After
from berth.core import events, webhooks
from berth.core.errors import Conflict, Forbidden, Invalid, NotFound
from berth.core.webhooks import Changes, DeliveryStatus, Filter, Only
from tests import make
from tests.conftest import FakeClock
from tests.core.outbox import BAD, RULES, finish, happens, statuses, take, taken

_ALL = Filter()


# Tests, and sending again.


def test_a_test_is_sent_once_even_where_nothing_else_is(db: Database, clock: FakeClock) -> None:
    by = make.project(db).by
    webhook, _ = make.webhook(db, by, "gpu.available")
    make.webhook(db, by)
    for _ in range(5):
        happens(db, by, "gpu.available")
    db.write_now(webhooks.update, by, webhook.id, Changes(is_active=False), rules=RULES)
    delivery_id = db.write_now(webhooks.send_test, by, webhook.id, event_type="instance.running")
    leased = taken(db)
    assert (leased.delivery_id, leased.is_test, leased.webhook_id) == (delivery_id, True, webhook.id)
    assert '"type":"instance.running"' in leased.payload
    finish(db, leased, replace(BAD, status_code=410))
    found = db.read_now(webhooks.get_delivery, by, webhook.id, delivery_id)
    assert found.delivery.status is DeliveryStatus.FAILED
    assert db.read_now(webhooks.get, by, webhook.id).failing_since is None
    with pytest.raises(Invalid):
        db.write_now(webhooks.send_test, by, webhook.id, event_type="instance.*")


@pytest.mark.parametrize("event_type", events.CATALOGUE)
def test_there_is_a_sample_of_every_event(db: Database, event_type: str) -> None:
    by = make.project(db).by
    webhook, _ = make.webhook(db, by)
    db.write_now(webhooks.send_test, by, webhook.id, event_type=event_type)
    assert f'"type":"{event_type}"' in taken(db).payload


def test_redelivering_sends_the_same_again(db: Database, clock: FakeClock) -> None:
    by = make.project(db).by
    webhook, _ = make.webhook(db, by)
    happens(db, by)
    first = taken(db)
    with pytest.raises(Conflict) as refusal:
        db.write_now(webhooks.redeliver, by, webhook.id, first.delivery_id)
    assert refusal.value.code == "in_flight"
    finish(db, first)
    clock.advance(seconds=60)
    queued = db.write_now(webhooks.redeliver, by, webhook.id, first.delivery_id)
    assert (queued.status, queued.next_attempt_at) == (DeliveryStatus.PENDING, clock.now())
    again = taken(db)
    assert (again.delivery_id, again.payload) == (first.delivery_id, first.payload)
    assert (again.attempt, again.round_attempt) == (2, 1)
    finish(db, again, BAD)
    waiting = make.deliveries(db)[0]
    assert (waiting.stage, waiting.status) == ("waiting", "pending")
    db.write_now(webhooks.redeliver, by, webhook.id, first.delivery_id)
    assert taken(db).round_attempt == 2


def test_what_cannot_be_sent_again_is_refused(db: Database) -> None:
    by = make.project(db).by
    webhook, _ = make.webhook(db, by)
    other, _ = make.webhook(db, by, "gpu.available")
    happens(db, by)
    delivery_id = make.deliveries(db)[0].id
    for hook, delivery in ((other.id, delivery_id), (webhook.id, "nothing")):
        with pytest.raises(NotFound):
            db.write_now(webhooks.redeliver, by, hook, delivery)
    test_id = db.write_now(webhooks.send_test, by, webhook.id)
    finish(db, taken(db))
    db.write_now(webhooks.update, by, other.id, Changes(is_active=False), rules=RULES)
    for hook, delivery in ((webhook.id, test_id), (other.id, delivery_id)):
        with pytest.raises(Conflict) as refusal:
            db.write_now(webhooks.redeliver, by, hook, delivery)
        assert refusal.value.code == "invalid_state"


def test_what_failed_or_was_skipped_is_recovered_oldest_first(db: Database, clock: FakeClock) -> None:
    by = make.project(db).by
    webhook, _ = make.webhook(db, by)

    def switch(*, is_active: bool) -> None:
        db.write_now(webhooks.update, by, webhook.id, Changes(is_active=is_active), rules=RULES)

    def recover(since: Instant, until: Instant | None = None, only: Only = Only.ALL) -> int:
        return db.write_now(webhooks.recover, by, webhook.id, since=since, until=until, only=only)[0]

    began_at = clock.now()
    switch(is_active=False)
    for _ in range(3):
        happens(db, by)
        clock.advance(seconds=3600)
    with pytest.raises(Conflict):
        recover(began_at)
    switch(is_active=True)
    assert recover(began_at, only=Only.FAILED) == 0
    assert recover(Instant(began_at + HOUR), Instant(began_at + 2 * HOUR), Only.SKIPPED) == 1
    assert recover(began_at) == 2
    assert recover(began_at) == 0
    order = []
    while (leased := take(db)) is not None:
        order.append(leased.delivery_id)
        finish(db, leased)
    assert order == [row.id for row in make.deliveries(db)]
    assert statuses(db) == ["success"] * 3


@pytest.mark.parametrize(("since", "until"), [(-7 * DAY - SECOND, None), (0, None), (-HOUR, -HOUR)])
def test_a_time_that_cannot_be_recovered_is_refused(
    db: Database, clock: FakeClock, since: int, until: int | None
) -> None:
    by = make.project(db).by
    webhook, _ = make.webhook(db, by)
    with pytest.raises(Invalid):
        db.write_now(
            webhooks.recover,
            by,
            webhook.id,
            since=Instant(clock.now() + since),
            until=None if until is None else Instant(clock.now() + until),
            only=Only.ALL,
        )


# The log.


def test_the_log_is_kept_for_a_month_and_a_deleted_webhooks_for_a_week(
    db: Database, clock: FakeClock
) -> None:
    by = make.project(db).by
    webhook, _ = make.webhook(db, by)
    gone, _ = make.webhook(db, by)
    happens(db, by)
    finish(db, taken(db))
    finish(db, taken(db))
    db.write_now(webhooks.delete, by, gone.id)
    with pytest.raises(NotFound):
        db.read_now(webhooks.get, by, gone.id)

    def log(webhook_id: str) -> int:
        return len(db.read_now(webhooks.list_deliveries, by, webhook_id, Filter(), after=None, limit=10).rows)

    def forget() -> None:
        while db.write_now(webhooks.forget):
            pass

    assert (log(webhook.id), log(gone.id)) == (1, 1)
    clock.advance(seconds=7 * 86400 + 1)
    forget()
    assert log(webhook.id) == 1
    with pytest.raises(NotFound):
        log(gone.id)
    clock.advance(seconds=23 * 86400)
    forget()
    assert log(webhook.id) == 0
    with pytest.raises(NotFound):
        db.read_now(webhooks.get_delivery, by, webhook.id, ids.lowest(clock.now()))


def test_the_log_is_filtered_and_paged_without_gaps(db: Database, clock: FakeClock) -> None:
    by = make.project(db).by
    webhook, _ = make.webhook(db, by)
    began_at = clock.now()
    for number in range(7):
        happens(db, by, "billing.credited" if number % 2 else "gpu.available")
        clock.advance(seconds=60 * (number % 3))
    finish(db, taken(db))

    def listed(wanted: Filter = _ALL) -> list[str]:
        found: list[str] = []
        last: After | None = None
        while True:
            page = db.read_now(
                webhooks.list_deliveries,
                by,
                webhook.id,
                wanted,
                after=last,
                limit=2,
            )
            assert len(page.rows) <= 2
            found += [row.id for row in page.rows]
            if not page.has_more:
                assert page.total == len(found)
                return found
            last = After(page.rows[-1].created_at, str(page.rows[-1].seq))

    rows = [row.id for row in make.deliveries(db)]
    assert listed() == rows[::-1]
    assert listed(Filter(status=DeliveryStatus.SUCCESS)) == rows[:1]
    assert listed(Filter(event_type="billing.credited")) == rows[5::-2]
    assert listed(Filter(since=Instant(began_at + 60 * SECOND))) == rows[:1:-1]
    assert listed(Filter(until=Instant(began_at + 60 * SECOND))) == rows[1::-1]
    with pytest.raises(Invalid):
        listed(Filter(event_type="billing.*"))


def test_it_takes_the_scope(db: Database) -> None:
    by = make.project(db).by
    webhook, _ = make.webhook(db, by)
    reader = make.allowed(by, "webhooks:read")
    assert db.read_now(webhooks.get, reader, webhook.id) == webhook
    with pytest.raises(Forbidden):
        db.write_now(webhooks.send_test, reader, webhook.id)
    with pytest.raises(Forbidden):
        db.read_now(webhooks.get, make.allowed(by, "deployments:read"), webhook.id)
