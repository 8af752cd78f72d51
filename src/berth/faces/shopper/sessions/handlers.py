"""Sessions: translate, one verb, translate."""

from berth.base.db import Tx
from berth.core import events, sessions
from berth.core.errors import Invalid, NotFound
from berth.core.sessions import Status
from berth.faces.face import Call
from berth.faces.shopper import words
from berth.faces.shopper.sessions import translate, wire

AGENT = "agent"
"""Who acts when a program in a session speaks, which has a token and no key."""


def list_sessions(tx: Tx, call: Call) -> wire.Sessions:
    query: wire.SessionsQuery = call.query
    found = sessions.list_page(
        tx,
        call.by,
        consumer_id=query.consumer_id or None,
        status=translate.wanted_status(query.status),
        provider=query.provider or None,
        limit=min(query.limit or translate.LISTED_MOST, translate.LISTED_MOST),
    )
    rows = [translate.session(made) for made in found]
    return wire.Sessions(sessions=rows, count=len(rows))


def get_session(tx: Tx, call: Call) -> wire.Session:
    return translate.session(sessions.get(tx, call.by, _id(call)))


def session_done(tx: Tx, call: Call) -> wire.Told:
    made = sessions.done(tx, call.by, _id(call), call.context.rules)
    return wire.Told(message="session shutdown initiated", session_id=words.session_id(made.id))


def extend_session(tx: Tx, call: Call) -> wire.Extended:
    request: wire.ExtendRequest = call.body
    made = sessions.extend(tx, call.by, _id(call), request.additional_hours, call.context.session_rules)
    return wire.Extended(
        message="session extended",
        session_id=words.session_id(made.id),
        new_expires_at=words.time(made.expires_at),
    )


def delete_session(tx: Tx, call: Call) -> wire.Told:
    made = sessions.destroy(tx, call.by, _id(call), call.context.rules)
    return wire.Told(message="session destroyed", session_id=words.session_id(made.id))


def get_session_diagnostics(tx: Tx, call: Call) -> wire.Diagnostics:
    made = sessions.get(tx, call.by, _id(call))
    if made.status is not Status.RUNNING:
        raise Invalid("not_running", f"session is not running: it is {made.status.value}")
    return translate.diagnostics(made, tx.now)


def session_heartbeat(tx: Tx, call: Call) -> wire.Heard:
    request: wire.HeartbeatRequest = call.body
    # An agent has no API key, only the token of its session, which says whose project it speaks for.
    found = sessions.find(tx, _id(call))
    if found is None:
        raise NotFound("session_not_found", "session not found")
    made = sessions.heartbeat(
        tx,
        events.system(found.instance.project, AGENT),
        found.id,
        token=request.agent_token,
        idle_s=request.idle_seconds,
        pepper=call.context.pepper,
        money=call.context.rules,
    )
    return wire.Heard(
        message="heartbeat received",
        session_id=words.session_id(made.id),
        status=made.status.value,
        expires_at=words.time(made.expires_at),
    )


def _id(call: Call) -> str:
    return words.instance_id(call.parameters["id"])
