"""Taking deliveries and writing what came of them: leases, fairness, and receivers that fail."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from berth.base.clock import HOUR, after
from berth.base.db import Database
from berth.core import events, notices, webhooks
from berth.core.webhooks import Changes, Outcome, Told
from berth.core.webhooks.schedule import ATTEMPTS
from tests import make
from tests.conftest import FakeClock
from tests.core.outbox import BAD, OK, RULES, finish, happens, statuses, take, taken

# Taking and finishing.


def test_a_webhook_is_sent_four_at_once_and_does_not_hold_up_another(db: Database) -> None:
    by = make.project(db).by
    make.webhook(db, by, "billing.*")
    for _ in range(6):
        happens(db, by)
    leased = [taken(db) for _ in range(4)]
    assert take(db) is None
    other, _ = make.webhook(db, by, "gpu.available")
    happens(db, by, "gpu.available")
    assert taken(db).webhook_id == other.id
    assert finish(db, leased[0])
    assert taken(db).webhook_id != other.id
    assert take(db) is None


def test_a_webhook_that_fails_is_sent_one_at_a_time_until_it_answers(db: Database, clock: FakeClock) -> None:
    """What hangs until its time is up holds senders that others need."""
    by = make.project(db).by
    webhook, _ = make.webhook(db, by)
    for _ in range(6):
        happens(db, by)
    assert finish(db, taken(db), BAD)
    alone = taken(db)
    assert take(db) is None
    db.write_now(webhooks.send_test, by, webhook.id)
    assert taken(db).is_test
    assert finish(db, alone, OK)
    assert [taken(db).webhook_id for _ in range(4)] == [webhook.id] * 4
    assert take(db) is None


def test_wherever_one_starts_everything_is_reached(db: Database) -> None:
    by = make.project(db).by
    hooks = {make.webhook(db, by)[0].id for _ in range(8)}
    happens(db, by)
    assert {taken(db).webhook_id for _ in range(8)} == hooks
    for start in ("", "0", "A", "ZZZZ"):
        happens(db, by)
        leased = take(db, start=start)
        assert leased is not None
        finish(db, leased)


def test_senders_at_once_never_have_the_same_delivery_nor_more_than_four_of_a_webhook(db: Database) -> None:
    by = make.project(db).by
    for _ in range(3):
        make.webhook(db, by)
    for _ in range(10):
        happens(db, by)
    with ThreadPoolExecutor(8) as threads:
        leased = [each for each in threads.map(lambda _: take(db), range(24)) if each is not None]
    assert len({each.delivery_id for each in leased}) == len(leased)
    of_each = [
        sum(each.webhook_id == row.id for each in leased) for row in db.read_now(webhooks.list_webhooks, by)
    ]
    assert max(of_each) <= 4
    while (more := take(db)) is not None:
        leased.append(more)
    assert len(leased) == 12


def test_a_lease_that_ran_out_is_taken_by_another_and_its_holder_writes_nothing(
    db: Database, clock: FakeClock
) -> None:
    by = make.project(db).by
    webhook, _ = make.webhook(db, by)
    happens(db, by)
    frozen = taken(db)
    assert db.read_now(webhooks.next_due) == after(clock.now(), seconds=60)
    clock.advance(seconds=60)
    again = taken(db)
    assert (again.delivery_id, again.attempt) == (frozen.delivery_id, 2)
    assert not finish(db, frozen)
    assert finish(db, again)
    found = db.read_now(webhooks.get_delivery, by, webhook.id, again.delivery_id)
    assert [each.n for each in found.attempts] == [2]


def test_what_a_process_held_when_it_was_killed_is_taken_back_when_it_starts(db: Database) -> None:
    by = make.project(db).by
    make.webhook(db, by)
    happens(db, by)
    held = taken(db)
    db.write_now(webhooks.release_leases)
    assert taken(db).delivery_id == held.delivery_id
    assert not finish(db, held)


def test_a_delivery_that_brings_down_whoever_sends_it_is_given_up_and_can_be_recovered(
    db: Database, clock: FakeClock
) -> None:
    by = make.project(db).by
    webhook, _ = make.webhook(db, by)
    happens(db, by)
    for attempt in range(1, ATTEMPTS + 1):
        assert taken(db).attempt == attempt
        db.write_now(webhooks.release_leases)
    assert take(db) is None
    assert statuses(db) == ["failed"]
    (row,) = make.deliveries(db)
    found = db.read_now(webhooks.get_delivery, by, webhook.id, row.id)
    assert found.attempts[-1].error == "not_sent: TimeoutError: no sender came back with an answer"
    since = row.created_at
    clock.advance(seconds=1)
    queued = db.write_now(
        webhooks.recover, by, webhook.id, since=since, until=None, only=webhooks.Only.FAILED
    )
    assert queued == (1, False)
    assert finish(db, taken(db))
    assert statuses(db) == ["success"]


def test_a_test_whose_sender_was_killed_is_not_sent_again(db: Database) -> None:
    by = make.project(db).by
    webhook, _ = make.webhook(db, by)
    db.write_now(webhooks.send_test, by, webhook.id)
    taken(db)
    db.write_now(webhooks.release_leases)
    assert take(db) is None
    assert statuses(db) == ["failed"]


def test_every_attempt_sends_the_same_body(db: Database, clock: FakeClock) -> None:
    by = make.project(db).by
    make.webhook(db, by)
    happens(db, by)
    began_at = clock.now()
    bodies = set()
    for number in range(10):
        leased = db.write_now(
            webhooks.take,
            start="",
            seconds=60,
            render=lambda told, number=number: f'{{"rendered":{number}}}',  # type: ignore[misc]
            pepper=make.PEPPER,
        )
        assert leased is not None
        bodies.add(leased.payload)
        finish(db, leased, BAD)
        clock.set(db.read_now(webhooks.next_due) or clock.now())
    assert bodies == {'{"rendered":0}'}
    assert statuses(db) == ["failed"]
    assert take(db) is None
    assert 68 * HOUR < clock.now() - began_at < 84 * HOUR


def test_a_body_too_large_is_told_shorter_and_one_that_cannot_be_told_holds_up_nothing(db: Database) -> None:
    by = make.project(db).by
    webhook, _ = make.webhook(db, by)
    data = {"reason": "x" * 30_000, "list": ["y" * 100] * 300, "size_gb": 3}
    db.write_now(events.record, by, "billing.credited", subject="s", data=data)
    happens(db, by)

    def whole(told: Told) -> str:
        return str(dict(told.event.data)) if "reason" in told.event.data else str(1 // 0)

    leased = db.write_now(webhooks.take, start="", seconds=60, render=whole, pepper=make.PEPPER)
    assert leased is not None
    assert leased.payload == str({"reason": "x" * 300, "size_gb": 3})
    assert db.write_now(webhooks.take, start="", seconds=60, render=whole, pepper=make.PEPPER) is None
    assert statuses(db) == ["pending", "failed"]
    found = db.read_now(webhooks.get_delivery, by, webhook.id, make.deliveries(db)[1].id)
    assert found.attempts[0].error is not None
    assert found.attempts[0].error.startswith("not_sent: ZeroDivisionError")


# Receivers that fail.


def test_a_webhook_that_is_gone_is_disabled_at_once_and_the_others_are_told(db: Database) -> None:
    by = make.project(db).by
    db.write_now(notices.set_contacts, by, ["owner@customer.example"])
    gone, _ = make.webhook(db, by, "billing.*")
    other, _ = make.webhook(db, by, "webhook.disabled")
    happens(db, by)
    happens(db, by)
    finish(db, taken(db), Outcome(410, 5, "refused: Answered 410."))
    off = db.read_now(webhooks.get, by, gone.id)
    assert (off.is_active, off.disabled_reason) == (False, "gone")
    told = taken(db)
    assert (told.webhook_id, told.payload) == (other.id, '{"type":"webhook.disabled","sequence":2}')
    assert take(db) is None
    mails = db.read_now(notices.list_for, by.project)
    assert [mail.kind for mail in mails] == ["webhook.disabled"]
    happens(db, by)
    by_webhook = [row.status for row in make.deliveries(db) if row.webhook_id == gone.id]
    assert by_webhook == ["pending", "skipped", "skipped"]


def test_five_days_of_failures_disable_it_and_one_success_forgets_them(
    db: Database, clock: FakeClock
) -> None:
    by = make.project(db).by
    webhook, _ = make.webhook(db, by)

    def fail_for(hours: int) -> None:
        for _ in range(hours // 6):
            happens(db, by)
            while (leased := take(db)) is not None:
                finish(db, leased, BAD)
            clock.advance(seconds=6 * 3600)

    fail_for(5 * 24)
    assert db.read_now(webhooks.get, by, webhook.id).is_active
    happens(db, by)
    finish(db, taken(db), OK)
    assert db.read_now(webhooks.get, by, webhook.id).failing_since is None
    while (leased := take(db)) is not None:
        finish(db, leased, OK)
    fail_for(5 * 24 + 6)
    assert db.read_now(webhooks.get, by, webhook.id).is_active
    fail_for(12)
    off = db.read_now(webhooks.get, by, webhook.id)
    assert (off.is_active, off.disabled_reason) == (False, "failing")
    on = db.write_now(webhooks.update, by, webhook.id, Changes(is_active=True), rules=RULES)
    assert (on.is_active, on.failing_since, on.counted_since) == (True, None, None)


def test_a_receiver_that_asks_for_a_pause_is_sent_nothing_meanwhile(db: Database, clock: FakeClock) -> None:
    by = make.project(db).by
    make.webhook(db, by)
    happens(db, by)
    finish(db, taken(db), replace(BAD, status_code=503, retry_after_s=1800))
    happens(db, by)
    assert take(db) is None
    assert db.read_now(webhooks.next_due) == after(clock.now(), seconds=1800)
    clock.advance(seconds=1799)
    assert take(db) is None
    clock.advance(seconds=1)
    first = taken(db)
    assert finish(db, first)
    assert {first.attempt, taken(db).attempt} == {1, 2}
