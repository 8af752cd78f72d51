"""The verbs of the delivery log: what was sent and how it went, and sending it again."""

from dataclasses import replace

from berth.base.clock import DAY, Instant
from berth.base.db import Tx
from berth.base.paging import After, Page
from berth.core import events
from berth.core.errors import Conflict, Invalid, NotFound
from berth.core.events import Actor
from berth.core.webhooks import service, store
from berth.core.webhooks.model import Delivery, DeliveryDetail, DeliveryStatus, Filter, Only, Webhook

COUNTED = 10_000
"""A log is counted no further."""
RECOVERED = 10_000
"""How many one `recover` queues at most."""
WINDOW = 7 * DAY
_ATTEMPTS_SHOWN = 100
_STATUSES = {
    Only.FAILED: (DeliveryStatus.FAILED, DeliveryStatus.FAILED),
    Only.SKIPPED: (DeliveryStatus.SKIPPED, DeliveryStatus.SKIPPED),
    Only.ALL: (DeliveryStatus.FAILED, DeliveryStatus.SKIPPED),
}


def list_deliveries(
    tx: Tx, by: Actor, webhook_id: str, wanted: Filter, *, after: After | None, limit: int
) -> Page[Delivery]:
    """Newest first; a deleted webhook's for as long as its log is kept. Raises NotFound, Invalid."""
    webhook = service.readable_log(tx, by, webhook_id)
    if wanted.event_type is not None and wanted.event_type not in events.CATALOGUE:
        raise service.unknown_event(wanted.event_type)
    rows = store.list_deliveries(tx, webhook.id, wanted, after=after, limit=limit + 1)
    total = store.count_deliveries(tx, webhook.id, wanted, most=COUNTED)
    return Page(rows[:limit], has_more=len(rows) > limit, total=total)


def get_delivery(tx: Tx, by: Actor, webhook_id: str, delivery_id: str) -> DeliveryDetail:
    """Raises NotFound, also after its retention."""
    webhook = service.readable_log(tx, by, webhook_id)
    found = store.find_delivery(tx, webhook.id, delivery_id)
    if found is None:
        raise _not_found()
    delivery, payload = found
    attempts = store.attempts(tx, delivery.id, limit=_ATTEMPTS_SHOWN)
    return DeliveryDetail(delivery, webhook.url, payload, attempts)


def redeliver(tx: Tx, by: Actor, webhook_id: str, delivery_id: str) -> Delivery:
    """Has it sent again now, under the same id; one that was done with begins its schedule again.

    Raises NotFound, and Conflict while it is being sent, for a test and for a webhook that is not active.
    """
    webhook = _active(tx, by, webhook_id)
    found = store.find_delivery(tx, webhook.id, delivery_id, lock=True)
    if found is None:
        raise _not_found()
    delivery = found[0]
    if delivery.is_in_flight:
        raise Conflict("in_flight", "This delivery is being sent at this moment.")
    if delivery.is_test:
        raise Conflict("invalid_state", "A test is sent once; ask for another.")
    is_over = delivery.status is not DeliveryStatus.PENDING
    store.requeue(tx, delivery.id, restart=is_over)
    _record(tx, by, webhook, "webhook.redelivered", {"delivery_id": delivery.id})
    tx.signal(events.DELIVERIES)
    return replace(delivery, status=DeliveryStatus.PENDING, next_attempt_at=tx.now)


def recover(
    tx: Tx, by: Actor, webhook_id: str, *, since: Instant, until: Instant | None, only: Only
) -> tuple[int, bool]:
    """Has sent again what failed or was skipped in a time, the oldest first.

    Returns how many were queued and whether there are more than one call takes. Raises NotFound, Invalid, and
    Conflict for a webhook that is not active.
    """
    webhook = _active(tx, by, webhook_id)
    ends_at = tx.now if until is None else until
    if since < tx.now - WINDOW:
        raise Invalid("invalid_field", "since must not be more than 7 days ago.", field="since")
    if since >= ends_at:
        raise Invalid("invalid_field", "since must come before until and now.", field="since")
    queued = store.requeue_many(tx, webhook.id, _STATUSES[only], since=since, until=ends_at, limit=RECOVERED)
    _record(tx, by, webhook, "webhook.recovered", {"queued": queued})
    if queued:
        tx.signal(events.DELIVERIES)
    return queued, queued == RECOVERED


def _active(tx: Tx, by: Actor, webhook_id: str) -> Webhook:
    by.may("webhooks:write")
    webhook = service.locked(tx, by, webhook_id)
    if not webhook.is_active:
        raise Conflict("invalid_state", "This webhook is not active; set is_active to true first.")
    return webhook


def _record(tx: Tx, by: Actor, webhook: Webhook, event_type: str, data: dict[str, object]) -> None:
    events.record(tx, by, event_type, subject=webhook.id, data=data)


def _not_found() -> NotFound:
    return NotFound("delivery_not_found", "Delivery not found.")
