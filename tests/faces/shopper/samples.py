"""One accepted request for every route of the shopper API. A route without one fails the tests that visit all."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from berth.faces.face import Route
from berth.faces.shopper import words
from tests import renting
from tests.faces.conftest import Response
from tests.faces.shopper.conftest import HASH_ID, Broker, Shopper


@dataclass(frozen=True)
class Sample:
    path: str
    body: Mapping[str, Any] | None = None


def _order(broker: Broker) -> Sample:
    renting.stock(broker.db)
    body = {"consumer_id": "a", "offer_id": renting.OFFER, "workload_type": "llm", "reservation_hours": 1}
    return Sample("/api/v1/sessions", body)


def _session(broker: Broker) -> tuple[str, str]:
    """The path of one that runs, and its agent's token."""
    renting.stock(broker.db)
    opened = renting.running(broker.db, broker.customer.by)
    return f"/api/v1/sessions/{words.session_id(opened.session.id)}", opened.agent_token


def _heartbeat(broker: Broker) -> Sample:
    path, token = _session(broker)
    return Sample(f"{path}/heartbeat", {"agent_token": token, "idle_seconds": 5})


SAMPLES: Mapping[tuple[str, str], Callable[[Broker], Sample]] = {
    ("GET", "/health"): lambda _: Sample("/health"),
    ("GET", "/ready"): lambda _: Sample("/ready"),
    ("GET", "/metrics"): lambda _: Sample("/metrics"),
    ("GET", "/api/v1/inventory"): lambda _: Sample("/api/v1/inventory"),
    ("GET", "/api/v1/inventory/{id}"): lambda _: Sample("/api/v1/inventory/vastai-12345"),
    ("GET", "/api/v1/inventory/{id}/compatible-templates"): lambda _: Sample(
        "/api/v1/inventory/vastai-12345/compatible-templates"
    ),
    ("GET", "/api/v1/offer-health"): lambda _: Sample("/api/v1/offer-health"),
    ("GET", "/api/v1/templates"): lambda _: Sample("/api/v1/templates"),
    ("GET", "/api/v1/templates/{hash_id}"): lambda _: Sample(f"/api/v1/templates/{HASH_ID}"),
    ("POST", "/api/v1/sessions"): _order,
    ("GET", "/api/v1/sessions"): lambda broker: Sample(_session(broker)[0].rpartition("/")[0]),
    ("GET", "/api/v1/sessions/{id}"): lambda broker: Sample(_session(broker)[0]),
    ("POST", "/api/v1/sessions/{id}/done"): lambda broker: Sample(f"{_session(broker)[0]}/done"),
    ("POST", "/api/v1/sessions/{id}/extend"): lambda broker: Sample(
        f"{_session(broker)[0]}/extend", {"additional_hours": 1}
    ),
    ("DELETE", "/api/v1/sessions/{id}"): lambda broker: Sample(_session(broker)[0]),
    ("GET", "/api/v1/sessions/{id}/diagnostics"): lambda broker: Sample(f"{_session(broker)[0]}/diagnostics"),
    ("POST", "/api/v1/sessions/{id}/heartbeat"): _heartbeat,
    ("GET", "/api/v1/costs"): lambda _: Sample("/api/v1/costs"),
    ("GET", "/api/v1/costs/summary"): lambda _: Sample("/api/v1/costs/summary"),
}


def name_of(route: Route) -> str:
    return f"{route.method} {route.path}"


async def visit(broker: Broker, client: Shopper, route: Route, *, sample: Sample | None = None) -> Response:
    """An accepted request for `route`, by `client`."""
    sample = sample or SAMPLES[route.method, route.path](broker)
    return await client.call(route.method, sample.path, body=sample.body)
