"""Health: two questions that anybody may ask."""

from berth.base.db import Tx
from berth.faces.face import Call, Sent
from berth.faces.shopper import words
from berth.faces.shopper.health import wire

_OK, _UNAVAILABLE = 200, 503


def get_health(tx: Tx, call: Call) -> Sent:
    is_ready = call.context.readiness.is_ready
    services = wire.Services(
        lifecycle="running" if is_ready else "stopped", inventory="ok", ready="true" if is_ready else "false"
    )
    status = _OK if is_ready else _UNAVAILABLE
    shown = wire.Health(
        status="ok" if is_ready else "unavailable", timestamp=words.time(tx.now), services=services
    )
    return Sent(shown, status)


def get_ready(tx: Tx, call: Call) -> Sent:
    is_ready = call.context.readiness.is_ready
    return Sent(wire.Ready(ready=is_ready, timestamp=words.time(tx.now)), _OK if is_ready else _UNAVAILABLE)
