"""The waitlist: translate, one verb, translate."""

from berth.base.db import Tx
from berth.core import waitlist
from berth.core.waitlist import ACTIVE, Status
from berth.faces.face import Call
from berth.faces.huddle import words
from berth.faces.huddle.waitlist import translate, wire


def join(tx: Tx, call: Call) -> wire.Entry:
    wish = translate.wish(call.body)
    return translate.entry(waitlist.join(tx, call.by, wish, call.context.waiting, call.context.rules))


def list_entries(tx: Tx, call: Call) -> list[wire.Entry]:
    query: wire.EntriesQuery = call.query
    statuses = ACTIVE if query.status is None else {Status(query.status)}
    return [translate.entry(place) for place in waitlist.list_entries(tx, call.by, statuses=statuses)]


def get_entry(tx: Tx, call: Call) -> wire.Entry:
    return translate.entry(waitlist.get(tx, call.by, _entry_id(call)))


def change_entry(tx: Tx, call: Call) -> wire.Entry:
    changes = translate.changes(call.body)
    context = call.context
    place = waitlist.change(tx, call.by, _entry_id(call), changes, context.waiting, context.rules)
    return translate.entry(place)


def cancel_entry(tx: Tx, call: Call) -> wire.Entry:
    return translate.entry(waitlist.cancel(tx, call.by, _entry_id(call), call.context.waiting))


def _entry_id(call: Call) -> str:
    return words.core_id(words.WAITLIST, call.parameters["id"], "Waitlist entry")
