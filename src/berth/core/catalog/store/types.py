"""Statements of who sells a type, and what each of them says that it has at least."""

from berth.base.db import Tx
from berth.core.catalog.model import Sold

_LIMIT = 100_000


def type_sellers(tx: Tx) -> dict[str, dict[str, Sold]]:
    """By type and provider."""
    rows = tx.all(
        "SELECT instance_type, provider, vcpu_count, ram_gb, storage_gb, boot_timeout_s FROM type_sellers"
        f" ORDER BY instance_type, provider LIMIT {_LIMIT}"
    )
    found: dict[str, dict[str, Sold]] = {}
    for instance_type, provider, *amounts in rows:
        found.setdefault(instance_type, {})[provider] = Sold(*amounts)
    return found


def upsert_type_seller(tx: Tx, instance_type: str, provider: str, sold: Sold) -> None:
    tx.run(
        "INSERT INTO type_sellers (instance_type, provider, vcpu_count, ram_gb, storage_gb, boot_timeout_s)"
        " VALUES (:type, :provider, :vcpu, :ram, :storage, :boot) ON CONFLICT (instance_type, provider) DO UPDATE"
        " SET vcpu_count = excluded.vcpu_count, ram_gb = excluded.ram_gb, storage_gb = excluded.storage_gb,"
        " boot_timeout_s = excluded.boot_timeout_s",
        type=instance_type,
        provider=provider,
        vcpu=sold.vcpu_count,
        ram=sold.ram_gb,
        storage=sold.storage_gb,
        boot=sold.boot_timeout_s,
    )


def delete_type_seller(tx: Tx, instance_type: str, provider: str) -> None:
    tx.run(
        "DELETE FROM type_sellers WHERE instance_type = :type AND provider = :provider",
        type=instance_type,
        provider=provider,
    )
