"""Statements of what storage is sold, by whom and where."""

from berth.base.db import Row, Tx
from berth.core.catalog.model import VolumeType
from berth.core.driver import ProviderVolumeType

_VOLUME_TYPE = (
    "provider, name, location, price_micros_per_gb_month, cost_micros_per_gb_month, min_size_gb, max_size_gb,"
    " is_shared, max_attachments, attaches_live, iops, burst_bandwidth_mb_s, continuous_bandwidth_mb_s,"
    " internal_network_speed_mb_s, throughput_gbps"
)


def list_volume_types(tx: Tx) -> list[VolumeType]:
    rows = tx.all(
        f"SELECT {_VOLUME_TYPE} FROM volume_types WHERE is_listed = 1"
        f" ORDER BY name, location, price_micros_per_gb_month, provider LIMIT 10000"
    )
    return [_volume_type(row) for row in rows]


def volume_types_at(tx: Tx, name: str, location: str) -> list[VolumeType]:
    """Who sells it there, cheapest first."""
    rows = tx.all(
        f"SELECT {_VOLUME_TYPE} FROM volume_types WHERE location = :location AND name = :name AND is_listed = 1"
        " ORDER BY price_micros_per_gb_month, provider LIMIT 100",
        name=name,
        location=location,
    )
    return [_volume_type(row) for row in rows]


def upsert_volume_type(tx: Tx, provider: str, sold: ProviderVolumeType, *, price: int) -> None:
    columns = _VOLUME_TYPE.split(", ")
    changed = ", ".join(f"{column} = excluded.{column}" for column in columns[3:])
    tx.run(
        f"INSERT INTO volume_types ({_VOLUME_TYPE}, is_listed, observed_at) VALUES (:provider, :name, :location,"
        " :price, :cost, :min_size_gb, :max_size_gb, :is_shared, :max_attachments, :attaches_live, :iops,"
        " :burst, :continuous, :network, :throughput, 1, :now) ON CONFLICT (provider, name, location)"
        f" DO UPDATE SET {changed}, is_listed = 1, observed_at = excluded.observed_at",
        provider=provider,
        name=sold.name,
        location=sold.place.code,
        price=price,
        cost=sold.cost_micros_per_gb_month,
        min_size_gb=sold.min_size_gb,
        max_size_gb=sold.max_size_gb,
        is_shared=int(sold.is_shared),
        max_attachments=sold.max_attachments,
        attaches_live=int(sold.attaches_live),
        iops=sold.iops,
        burst=sold.burst_bandwidth_mb_s,
        continuous=sold.continuous_bandwidth_mb_s,
        network=sold.internal_network_speed_mb_s,
        throughput=sold.throughput_gbps,
        now=tx.now,
    )


def unlist_volume_types(tx: Tx, provider: str) -> None:
    tx.run(
        "UPDATE volume_types SET is_listed = 0 WHERE provider = :provider AND is_listed = 1",
        provider=provider,
    )


def _volume_type(row: Row) -> VolumeType:
    return VolumeType(*(*row[:7], bool(row[7]), row[8], bool(row[9]), *row[10:]))
