"""One accepted request for every route of the retail API. A route without one fails the tests that visit all."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from berth.faces.face import Route
from berth.faces.huddle import words
from tests import make, queueing
from tests.faces.conftest import Response, Shop


@dataclass(frozen=True)
class Sample:
    path: str
    body: Mapping[str, Any] | None = None


def order(shop: Shop, **members: Any) -> dict[str, Any]:
    """The body of a deploy that is accepted. Members that are None are left out."""
    known = {
        "cluster_type": make.H100,
        "image": "ubuntu-24.04",
        "hostname": "my-training-run",
        "location": "FIN-01",
    }
    if "ssh_key_ids" not in members:
        members["ssh_key_ids"] = [f"sk_{make.ssh_key(shop.db, shop.customer.by).id}"]
    return {name: value for name, value in (known | members).items() if value is not None}


def _deployment(shop: Shop, ending: str = "", status: str = "running") -> str:
    return f"/deployments/dep_{make.instance(shop.db, status, shop.customer.by).id}{ending}"


def _ssh_key(shop: Shop) -> str:
    return f"/ssh-keys/sk_{make.ssh_key(shop.db, shop.customer.by).id}"


def _transaction(shop: Shop) -> str:
    entry = make.topup(shop.db, shop.customer.by, "5")
    return f"/billing/transactions/{words.transaction_id(entry.seq)}"


def _api_key(shop: Shop, *scopes: str) -> str:
    return f"/api-keys/ak_{make.key(shop.db, shop.customer.by, scopes=scopes or None)[0].id}"


def _webhook(shop: Shop, ending: str = "") -> str:
    return f"/webhooks/wh_{make.webhook(shop.db, shop.customer.by)[0].id}{ending}"


def _delivery(shop: Shop, ending: str = "") -> str:
    path = _webhook(shop, "/deliveries")
    make.ssh_key(shop.db, shop.customer.by)
    make.ordered(shop.db, shop.customer.by)
    return f"{path}/msg_{make.deliveries(shop.db)[-1].id}{ending}"


def _entry(shop: Shop) -> str:
    return f"/deployments/requests/wr_{queueing.waiting(shop.db, shop.customer.by).entry.id}"


def _volume(shop: Shop, ending: str = "", status: str = "detached") -> str:
    return f"/volumes/vol_{make.volume(shop.db, status, shop.customer.by).id}{ending}"


SAMPLES: Mapping[tuple[str, str], Callable[[Shop], Sample]] = {
    ("GET", "/account/settings"): lambda shop: Sample("/account/settings"),
    ("PUT", "/account/settings"): lambda shop: Sample("/account/settings", {"unique_active_hostname": True}),
    ("GET", "/billing/balance"): lambda shop: Sample("/billing/balance"),
    ("GET", "/billing/alerts"): lambda _: Sample("/billing/alerts"),
    ("PUT", "/billing/alerts"): lambda _: Sample("/billing/alerts", {"balance_usd": [20, 5]}),
    ("GET", "/billing/limits"): lambda _: Sample("/billing/limits"),
    ("PUT", "/billing/limits"): lambda _: Sample("/billing/limits", {"max_hourly_usd": 80}),
    ("GET", "/billing/transactions"): lambda shop: Sample("/billing/transactions"),
    ("GET", "/billing/transactions/{id}"): lambda shop: Sample(_transaction(shop)),
    ("GET", "/billing/usage"): lambda shop: Sample("/billing/usage"),
    ("POST", "/billing/estimate"): lambda shop: Sample(
        "/billing/estimate", {"cluster_type": make.H100, "hours": 24}
    ),
    ("POST", "/billing/credits"): lambda shop: Sample(
        "/billing/credits",
        {"account_id": shop.customer.id, "amount_usd": 5.01, "type": "promo", "reference": "invoice-7"},
    ),
    ("GET", "/gpus/available"): lambda shop: Sample("/gpus/available"),
    ("GET", "/gpus/available/summary"): lambda shop: Sample("/gpus/available/summary"),
    ("GET", "/gpus/available/{instance_type}"): lambda shop: Sample(f"/gpus/available/{make.H100}"),
    ("GET", "/images"): lambda shop: Sample("/images"),
    ("GET", "/images/{id}"): lambda shop: Sample("/images/ubuntu-24.04"),
    ("GET", "/regions"): lambda shop: Sample("/regions"),
    ("GET", "/regions/{code}"): lambda shop: Sample("/regions/FIN-01"),
    ("GET", "/ssh-keys"): lambda shop: Sample("/ssh-keys"),
    ("POST", "/ssh-keys"): lambda shop: Sample("/ssh-keys", {"name": "k", "public_key": make.public_key()}),
    ("GET", "/ssh-keys/{id}"): lambda shop: Sample(_ssh_key(shop)),
    ("DELETE", "/ssh-keys/{id}"): lambda shop: Sample(_ssh_key(shop)),
    ("GET", "/api-keys"): lambda shop: Sample("/api-keys"),
    ("POST", "/api-keys"): lambda shop: Sample("/api-keys", {"name": "ci"}),
    ("GET", "/api-keys/{id}"): lambda shop: Sample(_api_key(shop)),
    ("PUT", "/api-keys/{id}"): lambda shop: Sample(_api_key(shop), {"name": "other"}),
    ("POST", "/api-keys/{id}/rotate"): lambda shop: Sample(
        _api_key(shop, "api_keys:write") + "/rotate", {"overlap_seconds": 0}
    ),
    ("DELETE", "/api-keys/{id}"): lambda shop: Sample(_api_key(shop)),
    ("GET", "/webhooks"): lambda shop: Sample("/webhooks"),
    ("POST", "/webhooks"): lambda shop: Sample(
        "/webhooks", {"url": "https://receiver.example/hook", "events": ["deployment.running"]}
    ),
    ("GET", "/webhooks/event-types"): lambda shop: Sample("/webhooks/event-types"),
    ("GET", "/webhooks/{id}"): lambda shop: Sample(_webhook(shop)),
    ("PUT", "/webhooks/{id}"): lambda shop: Sample(_webhook(shop), {"is_active": True}),
    ("DELETE", "/webhooks/{id}"): lambda shop: Sample(_webhook(shop)),
    ("POST", "/webhooks/{id}/test"): lambda shop: Sample(_webhook(shop, "/test"), {}),
    ("POST", "/webhooks/{id}/rotate-secret"): lambda shop: Sample(_webhook(shop, "/rotate-secret"), {}),
    ("GET", "/webhooks/{id}/deliveries"): lambda shop: Sample(_webhook(shop, "/deliveries")),
    ("GET", "/webhooks/{id}/deliveries/{delivery_id}"): lambda shop: Sample(_delivery(shop)),
    ("POST", "/webhooks/{id}/deliveries/{delivery_id}/redeliver"): lambda shop: Sample(
        _delivery(shop, "/redeliver")
    ),
    ("POST", "/webhooks/{id}/recover"): lambda shop: Sample(
        _webhook(shop, "/recover"), {"since": "2026-04-03T09:00:00Z"}
    ),
    ("POST", "/deployments/clusters"): lambda shop: Sample("/deployments/clusters", order(shop)),
    ("GET", "/deployments"): lambda shop: Sample("/deployments"),
    ("GET", "/deployments/availability/{cluster_type}"): lambda shop: Sample(
        f"/deployments/availability/{make.H100}"
    ),
    ("GET", "/deployments/{id}"): lambda shop: Sample(_deployment(shop)),
    ("DELETE", "/deployments/{id}"): lambda shop: Sample(_deployment(shop)),
    ("POST", "/deployments/{id}/actions"): lambda shop: Sample(
        _deployment(shop, "/actions"), {"action": "stop"}
    ),
    ("PUT", "/deployments/{id}/auto-delete"): lambda shop: Sample(
        _deployment(shop, "/auto-delete"), {"max_spend_usd": 25}
    ),
    ("GET", "/deployments/{id}/billing"): lambda shop: Sample(_deployment(shop, "/billing", "deleted")),
    ("POST", "/deployments/requests"): lambda _: Sample("/deployments/requests", {"cluster_type": make.H100}),
    ("GET", "/deployments/requests"): lambda _: Sample("/deployments/requests"),
    ("GET", "/deployments/requests/{id}"): lambda shop: Sample(_entry(shop)),
    ("PUT", "/deployments/requests/{id}"): lambda shop: Sample(_entry(shop), {"max_price_per_hr": 2}),
    ("DELETE", "/deployments/requests/{id}"): lambda shop: Sample(_entry(shop)),
    ("GET", "/volume-types"): lambda shop: Sample("/volume-types"),
    ("GET", "/volumes"): lambda shop: Sample("/volumes"),
    ("POST", "/volumes"): lambda shop: Sample(
        "/volumes", {"name": "data", "size": 100, "type": "NVMe", "location": "FIN-01"}
    ),
    ("GET", "/volumes/{id}"): lambda shop: Sample(_volume(shop)),
    ("POST", "/volumes/{id}/actions"): lambda shop: Sample(
        _volume(shop, "/actions"), {"action": "rename", "name": "other"}
    ),
    ("DELETE", "/volumes/{id}"): lambda shop: Sample(_volume(shop)),
    ("GET", "/deployments/{id}/events"): lambda shop: Sample(_deployment(shop, "/events")),
}


async def visit(shop: Shop, route: Route, *, key: str | None, sample: Sample | None = None) -> Response:
    """Sends the route's sample with `key`."""
    sample = sample or SAMPLES[route.method, route.path](shop)
    return await shop.client.with_key(key).call(route.method, sample.path, body=sample.body)


def name_of(route: Route) -> str:
    """For the names of parametrised tests."""
    return f"{route.method} {route.path}"
