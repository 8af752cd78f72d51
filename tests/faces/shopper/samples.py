"""One accepted request for every route of the shopper API. A route without one fails the tests that visit all."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from berth.faces.face import Route
from tests.faces.conftest import Response
from tests.faces.shopper.conftest import HASH_ID, Broker, Shopper


@dataclass(frozen=True)
class Sample:
    path: str
    body: Mapping[str, Any] | None = None


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
}


def name_of(route: Route) -> str:
    return f"{route.method} {route.path}"


async def visit(broker: Broker, client: Shopper, route: Route, *, sample: Sample | None = None) -> Response:
    """An accepted request for `route`, by `client`."""
    sample = sample or SAMPLES[route.method, route.path](broker)
    return await client.call(route.method, sample.path, body=sample.body)
