"""Webhooks: who is told of events, signed, at least once, and a log of how that went."""

from berth.core.webhooks.log import get_delivery, list_deliveries, recover, redeliver
from berth.core.webhooks.model import (
    Attempt,
    Delivery,
    DeliveryDetail,
    DeliveryStatus,
    Filter,
    Leased,
    Only,
    Outcome,
    Told,
    Webhook,
)
from berth.core.webhooks.rules import Rules, Target, is_allowed, networks, target_of
from berth.core.webhooks.sending import Render, finish, forget, give_back, next_due, release_leases, take
from berth.core.webhooks.service import (
    Changes,
    create,
    delete,
    get,
    list_webhooks,
    rotate_secret,
    send_test,
    update,
)
from berth.core.webhooks.signing import MESSAGE, message_id, signature

__all__ = [
    "MESSAGE",
    "Attempt",
    "Changes",
    "Delivery",
    "DeliveryDetail",
    "DeliveryStatus",
    "Filter",
    "Leased",
    "Only",
    "Outcome",
    "Render",
    "Rules",
    "Target",
    "Told",
    "Webhook",
    "create",
    "delete",
    "finish",
    "forget",
    "get",
    "get_delivery",
    "give_back",
    "is_allowed",
    "list_deliveries",
    "list_webhooks",
    "message_id",
    "networks",
    "next_due",
    "recover",
    "redeliver",
    "release_leases",
    "rotate_secret",
    "send_test",
    "signature",
    "take",
    "target_of",
    "update",
]
