"""Webhooks: translate, one verb, translate."""

import asyncio

from berth.base import paging
from berth.base.db import Tx
from berth.base.paging import After
from berth.core import events, webhooks
from berth.core.webhooks import DeliveryStatus, Only
from berth.faces.face import Call
from berth.faces.huddle import words
from berth.faces.huddle.envelope import Paged
from berth.faces.huddle.webhooks import translate, wire
from berth.faces.huddle.words import MESSAGE, WEBHOOK

_LOOK_S = 0.05


def list_webhooks(tx: Tx, call: Call) -> list[wire.Webhook]:
    return [translate.webhook(made) for made in webhooks.list_webhooks(tx, call.by)]


def create_webhook(tx: Tx, call: Call) -> wire.WebhookWithSecret:
    request: wire.WebhookRequest = call.body
    made, secret = webhooks.create(
        tx,
        call.by,
        url=request.url,
        events=[words.event_word(each) for each in request.events],
        name=request.name,
        description=request.description,
        pepper=call.context.pepper,
        rules=call.context.webhook_rules,
    )
    return translate.with_secret(made, secret)


def get_webhook(tx: Tx, call: Call) -> wire.Webhook:
    return translate.webhook(webhooks.get(tx, call.by, _webhook_id(call)))


def update_webhook(tx: Tx, call: Call) -> wire.Webhook:
    changes = translate.changes(call.body)
    rules = call.context.webhook_rules
    return translate.webhook(webhooks.update(tx, call.by, _webhook_id(call), changes, rules=rules))


def delete_webhook(tx: Tx, call: Call) -> wire.Webhook:
    return translate.webhook(webhooks.delete(tx, call.by, _webhook_id(call)))


def rotate_secret(tx: Tx, call: Call) -> wire.WebhookWithSecret:
    request: wire.RotateSecretRequest = call.body
    made, secret = webhooks.rotate_secret(
        tx,
        call.by,
        _webhook_id(call),
        overlap_seconds=request.overlap_seconds,
        pepper=call.context.pepper,
    )
    return translate.with_secret(made, secret)


def send_test(tx: Tx, call: Call) -> wire.TestResult:
    request: wire.TestRequest = call.body
    event_type = None if request.event is None else words.event_word(request.event)
    delivery_id = webhooks.send_test(tx, call.by, _webhook_id(call), event_type=event_type)
    return translate.test_result(webhooks.get_delivery(tx, _reader(call), _webhook_id(call), delivery_id))


async def await_test(call: Call, sent: wire.TestResult) -> wire.TestResult:
    """How the test went, or that it is still under way when the time is up."""
    delivery_id = sent.delivery_id.removeprefix(MESSAGE)
    looks = max(1, int(call.context.test_wait_s / _LOOK_S))
    for _ in range(looks):
        found = await call.context.db.read(
            webhooks.get_delivery, _reader(call), _webhook_id(call), delivery_id
        )
        if found.delivery.status is not DeliveryStatus.PENDING:
            return translate.test_result(found)
        await asyncio.sleep(_LOOK_S)
    return sent


def list_deliveries(tx: Tx, call: Call) -> Paged:
    query: wire.DeliveriesQuery = call.query
    webhook_id = _webhook_id(call)
    listing = f"deliveries {webhook_id} {query.status} {query.event} {query.since} {query.until}"
    last = words.after_number(query.cursor, listing)
    page = webhooks.list_deliveries(
        tx, call.by, webhook_id, translate.wanted(query), after=last, limit=query.limit
    )
    cursor = None
    if page.has_more:
        cursor = paging.encode(After(page.rows[-1].created_at, str(page.rows[-1].seq)), listing)
    return Paged(
        [translate.delivery(made) for made in page.rows],
        total=page.total,
        cursor=cursor,
        has_more=page.has_more,
        limit=query.limit,
        is_nestable=False,
    )


def get_delivery(tx: Tx, call: Call) -> wire.DeliveryDetail:
    return translate.delivery_detail(
        webhooks.get_delivery(tx, call.by, _webhook_id(call), _delivery_id(call))
    )


def redeliver(tx: Tx, call: Call) -> wire.Delivery:
    return translate.delivery(webhooks.redeliver(tx, call.by, _webhook_id(call), _delivery_id(call)))


def recover(tx: Tx, call: Call) -> wire.Recovered:
    request: wire.RecoverRequest = call.body
    queued, has_more = webhooks.recover(
        tx,
        call.by,
        _webhook_id(call),
        since=translate.time("since", request.since),
        until=None if request.until is None else translate.time("until", request.until),
        only=Only(request.only),
    )
    return wire.Recovered(queued=queued, has_more=has_more)


def list_event_types(_tx: Tx, _call: Call) -> list[wire.EventType]:
    return [
        wire.EventType(name=words.event_word(name), description=description)
        for name, description in events.CATALOGUE.items()
    ]


def _reader(call: Call) -> events.Actor:
    """Who may send a test may read how it went."""
    return events.system(call.by.project, call.by.key_id)


def _webhook_id(call: Call) -> str:
    return words.core_id(WEBHOOK, call.parameters["id"], "Webhook")


def _delivery_id(call: Call) -> str:
    return words.core_id(MESSAGE, call.parameters["delivery_id"], "Delivery")
