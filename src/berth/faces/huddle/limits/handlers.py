"""Alerts and limits: translate, one verb, translate."""

from msgspec import UNSET

from berth.base.db import Tx
from berth.core import billing, notices
from berth.faces.face import Call
from berth.faces.huddle.limits import translate, wire


def get_alerts(tx: Tx, call: Call) -> wire.Alerts:
    return translate.alerts(billing.alerts(tx, call.by), notices.contacts(tx, call.by.project))


def put_alerts(tx: Tx, call: Call) -> wire.Alerts:
    request: wire.AlertsRequest = call.body
    if request.emails is not UNSET:
        notices.set_contacts(tx, call.by, request.emails)
    billing.set_alerts(tx, call.by, translate.changed_alerts(billing.alerts(tx, call.by), request))
    return get_alerts(tx, call)


def get_limits(tx: Tx, call: Call) -> wire.Limits:
    spent = billing.spent_this_month(tx, call.by.project)
    return translate.limits(billing.limits(tx, call.by), spent, call.context.rules)


def put_limits(tx: Tx, call: Call) -> wire.Limits:
    request: wire.LimitsRequest = call.body
    billing.set_limits(tx, call.by, translate.changed_limits(billing.limits(tx, call.by), request))
    return get_limits(tx, call)
