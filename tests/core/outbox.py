"""The outbox worked by hand: an event happens, a delivery is taken, and something comes of it."""

from berth.base.db import Database
from berth.core import events, webhooks
from berth.core.webhooks import Leased, Outcome, Told
from tests import make

RULES = make.WEBHOOK_RULES
OK = Outcome(200, 5, None, "fine")
BAD = Outcome(500, 5, "refused: Answered 500.", "oh")


def render(told: Told) -> str:
    return f'{{"type":"{told.event_type}","sequence":{told.event.sequence}}}'


def take(db: Database, *, start: str = "") -> Leased | None:
    return db.write_now(webhooks.take, start=start, seconds=60, render=render, pepper=make.PEPPER)


def taken(db: Database) -> Leased:
    leased = take(db)
    assert leased is not None
    return leased


def finish(db: Database, leased: Leased, outcome: Outcome = OK) -> bool:
    return db.write_now(webhooks.finish, leased, outcome, RULES)


def happens(db: Database, by: events.Actor, event_type: str = "billing.credited", subject: str = "s") -> None:
    db.write_now(events.record, by, event_type, subject=subject, data={"amount_micros": 1})


def statuses(db: Database) -> list[str]:
    return [row.status for row in make.deliveries(db)]
