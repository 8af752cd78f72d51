"""Statements of which clusters are sold, by whom and where."""

import json

from berth.base.db import Row, Tx
from berth.base.money import Micros
from berth.core.catalog.model import ClusterType
from berth.core.driver import ProviderClusterType

# What its nodes are instances of has to be listed too.
_CLUSTER_TYPES = (
    "SELECT c.provider, c.name, c.location, w.id, w.instance_type, c.worker_count, j.id, j.instance_type,"
    " c.price_micros_per_hour, c.description, c.details, w.is_simulated FROM cluster_types c"
    " JOIN offers w ON w.provider = c.provider AND w.provider_offer_id = c.worker_offer AND w.is_listed = 1"
    " JOIN offers j ON j.provider = c.provider AND j.provider_offer_id = c.jump_host_offer AND j.is_listed = 1"
    " WHERE c.is_listed = 1"
)
_LIMIT = 10_000


def list_cluster_types(tx: Tx) -> list[ClusterType]:
    """By name, location, price."""
    rows = tx.all(
        f"{_CLUSTER_TYPES} ORDER BY c.name, c.location, c.price_micros_per_hour, c.provider LIMIT {_LIMIT}"
    )
    return [_cluster_type(row) for row in rows]


def cluster_types_at(tx: Tx, name: str, location: str) -> list[ClusterType]:
    """Who sells it there, cheapest first."""
    rows = tx.all(
        f"{_CLUSTER_TYPES} AND c.name = :name AND c.location = :location"
        " ORDER BY c.price_micros_per_hour, c.provider LIMIT 100",
        name=name,
        location=location,
    )
    return [_cluster_type(row) for row in rows]


def upsert_cluster_type(tx: Tx, provider: str, sold: ProviderClusterType) -> None:
    tx.run(
        "INSERT INTO cluster_types (provider, name, location, worker_offer, worker_count, jump_host_offer,"
        " price_micros_per_hour, description, details, is_listed, observed_at) VALUES (:provider, :name,"
        " :location, :worker, :count, :jump_host, :price, :description, :details, 1, :now)"
        " ON CONFLICT (provider, name, location) DO UPDATE SET worker_offer = excluded.worker_offer,"
        " worker_count = excluded.worker_count, jump_host_offer = excluded.jump_host_offer,"
        " price_micros_per_hour = excluded.price_micros_per_hour, description = excluded.description,"
        " details = excluded.details, is_listed = 1, observed_at = excluded.observed_at",
        provider=provider,
        name=sold.name,
        location=sold.place.code,
        worker=sold.worker_offer_id,
        count=sold.worker_count,
        jump_host=sold.jump_host_offer_id,
        price=sold.price_micros_per_hour,
        description=sold.description,
        details=json.dumps([list(detail) for detail in sold.details]),
        now=tx.now,
    )


def unlist_cluster_types(tx: Tx, provider: str) -> None:
    tx.run(
        "UPDATE cluster_types SET is_listed = 0 WHERE provider = :provider AND is_listed = 1",
        provider=provider,
    )


def _cluster_type(row: Row) -> ClusterType:
    details = tuple((name, value) for name, value in json.loads(row[10]))
    return ClusterType(*(*row[:8], Micros(row[8]), row[9], details, bool(row[11])))
