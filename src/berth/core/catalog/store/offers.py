"""Statements of the catalogue."""

import json
from collections.abc import Collection
from dataclasses import asdict, fields
from functools import lru_cache

from berth.base import ids
from berth.base.clock import Instant
from berth.base.db import Row, Tx
from berth.core.catalog.model import Image, InstanceType, Location, Offer
from berth.core.driver import Abilities, Hardware, Market, Place, ProviderImage

_TYPE = (
    "name, gpu_model, gpu_count, gpu_vram_gb, vcpu_count, ram_gb, storage_gb, description, manufacturer,"
    " boot_timeout_s, providers, gpu_name, p2p, best_for, deploy_warning"
)
_IMAGE = (
    "id, slug, name, category, details, is_default, is_cluster, os_name, os_version, cuda_version,"
    " driver_version, has_docker, ssh_user, min_os_volume_gb, gpu_models, providers, created_at, deprecated_at,"
    " size_gb, arch, min_driver, removed_at"
)
OFFER = (
    "id, provider, provider_offer_id, instance_type, location, price_micros_per_hour,"
    " spot_price_micros_per_hour, cost_micros_per_hour, free_units, is_simulated, suppressed_until, observed_at,"
    " spot_cost_micros_per_hour, spot_free_units, market"
)
_LIMIT = 100_000
"""More offers than one catalogue in the database is meant for."""


def _type(row: Row) -> InstanceType:
    best_for = tuple(json.loads(row[13]))
    return InstanceType(*(*row[:10], frozenset(json.loads(row[10])), *row[11:13], best_for, row[14]))


@lru_cache(1024)
def _image(row: Row) -> Image:
    return Image(
        id=row[0],
        slug=row[1],
        name=row[2],
        category=row[3],
        details=tuple(json.loads(row[4])),
        is_default=bool(row[5]),
        is_cluster=bool(row[6]),
        os_name=row[7],
        os_version=row[8],
        cuda_version=row[9],
        driver_version=row[10],
        has_docker=bool(row[11]),
        ssh_user=row[12],
        min_os_volume_gb=row[13],
        gpu_models=None if row[14] is None else frozenset(json.loads(row[14])),
        providers=frozenset(json.loads(row[15])),
        created_at=row[16],
        deprecated_at=row[17],
        size_gb=row[18],
        arch=row[19],
        min_driver=row[20],
        removed_at=row[21],
    )


@lru_cache(1024)
def _market(text: str) -> Market:
    return Market(**json.loads(text))


def offer_of(row: Row) -> Offer:
    """What was selected as `OFFER`."""
    return Offer(*(*row[:9], bool(row[9]), *row[10:14], None if row[14] is None else _market(row[14])))


def find_type(tx: Tx, name: str) -> InstanceType | None:
    row = tx.one(f"SELECT {_TYPE} FROM instance_types WHERE name = :name", name=name)
    return None if row is None else _type(row)


def list_types(tx: Tx) -> list[InstanceType]:
    return [_type(row) for row in tx.all(f"SELECT {_TYPE} FROM instance_types ORDER BY name LIMIT {_LIMIT}")]


def find_location(tx: Tx, code: str) -> Location | None:
    row = tx.one("SELECT code, name, country_code FROM locations WHERE code = :code", code=code)
    return None if row is None else Location(*row)


def list_locations(tx: Tx) -> list[Location]:
    """In the order in which they were first named."""
    return [
        Location(*row)
        for row in tx.all(
            f"SELECT code, name, country_code FROM locations ORDER BY position, code LIMIT {_LIMIT}"
        )
    ]


def find_image(tx: Tx, image: str) -> Image | None:
    """By id, then by slug."""
    row = None
    if ids.is_id(image):
        row = tx.one(f"SELECT {_IMAGE} FROM images WHERE id = :image", image=image)
    if row is None:
        row = tx.one(f"SELECT {_IMAGE} FROM images WHERE slug = :image", image=image)
    return None if row is None else _image(row)


def list_images(tx: Tx) -> list[Image]:
    """Those that somebody boots; the others are kept for what was ordered with them."""
    rows = tx.all(
        f"SELECT {_IMAGE} FROM images WHERE providers <> '[]' ORDER BY created_at DESC, id DESC LIMIT {_LIMIT}"
    )
    return [_image(row) for row in rows]


_SPOT_UNITS = "COALESCE(spot_free_units, free_units)"
_FREE = {False: "free_units > 0", True: f"spot_price_micros_per_hour IS NOT NULL AND {_SPOT_UNITS} > 0"}
_CHEAPEST = {
    False: "price_micros_per_hour, cost_micros_per_hour, id",
    True: "spot_price_micros_per_hour, COALESCE(spot_cost_micros_per_hour, cost_micros_per_hour), id",
}


def candidates(
    tx: Tx, instance_type: str, location: str, providers: Collection[str], *, is_spot: bool = False
) -> list[Offer]:
    """Offers of `providers` with something free, cheapest first; `is_spot`: as spot orders see them."""
    names = {f"provider_{number}": provider for number, provider in enumerate(sorted(providers))}
    rows = tx.all(
        f"SELECT {OFFER} FROM offers WHERE instance_type = :instance_type AND location = :location"
        f" AND provider IN ({', '.join(':' + name for name in names)})"
        f" AND {_FREE[is_spot]} AND is_listed = 1 AND suppressed_until <= :now"
        f" ORDER BY {_CHEAPEST[is_spot]} LIMIT 20",
        instance_type=instance_type,
        location=location,
        now=tx.now,
        **names,
    )
    offers = [offer_of(row) for row in rows]
    return [offer.as_spot() for offer in offers] if is_spot else offers


def list_offers(tx: Tx, *, instance_type: str | None = None) -> list[Offer]:
    """Every offer that its provider still lists, sold-out ones included."""
    condition = "" if instance_type is None else " AND instance_type = :instance_type"
    rows = tx.all(
        f"SELECT {OFFER} FROM offers WHERE is_listed = 1{condition} ORDER BY id LIMIT {_LIMIT}",
        **({} if instance_type is None else {"instance_type": instance_type}),
    )
    return [offer_of(row) for row in rows]


def find_offer(tx: Tx, offer_id: str) -> Offer | None:
    row = tx.one(f"SELECT {OFFER} FROM offers WHERE id = :id", id=offer_id)
    return None if row is None else offer_of(row)


def take_unit(tx: Tx, offer_id: str) -> bool:
    return (
        tx.run(
            "UPDATE offers SET free_units = free_units - 1, was_claimed = 1 WHERE id = :id AND free_units > 0",
            id=offer_id,
        )
        == 1
    )


def give_unit(tx: Tx, offer_id: str) -> None:
    tx.run("UPDATE offers SET free_units = free_units + 1 WHERE id = :id", id=offer_id)


def take_spot_unit(tx: Tx, offer_id: str) -> bool:
    """Of those that the provider counts apart."""
    taken = tx.run(
        "UPDATE offers SET spot_free_units = spot_free_units - 1, was_claimed = 1 WHERE id = :id AND spot_free_units > 0",
        id=offer_id,
    )
    return taken == 1


def give_spot_unit(tx: Tx, offer_id: str) -> None:
    """Where its provider no longer counts them apart, the next listing counts it."""
    tx.run("UPDATE offers SET spot_free_units = spot_free_units + 1 WHERE id = :id", id=offer_id)


def empty_spot_units(tx: Tx, offer_id: str) -> bool:
    """False where they are not counted apart."""
    emptied = tx.run(
        "UPDATE offers SET spot_free_units = 0 WHERE id = :id AND spot_free_units IS NOT NULL", id=offer_id
    )
    return emptied == 1


def insert_claim(tx: Tx, subject: str, offer_id: str, *, is_spot: bool) -> None:
    """`is_spot`: of the units that the provider counts apart."""
    tx.run(
        "INSERT INTO claims (subject, offer_id, claimed_at, is_spot) VALUES (:subject, :offer, :now, :is_spot)",
        subject=subject,
        offer=offer_id,
        now=tx.now,
        is_spot=int(is_spot),
    )


def count_claim(tx: Tx, subject: str) -> None:
    tx.run(
        "UPDATE claims SET counted_at = :now WHERE subject = :subject AND counted_at IS NULL",
        subject=subject,
        now=tx.now,
    )


def uncount_claim(tx: Tx, subject: str) -> None:
    tx.run("UPDATE claims SET counted_at = NULL WHERE subject = :subject", subject=subject)


def delete_claim(tx: Tx, subject: str) -> tuple[str, bool] | None:
    """The offer whose unit it was, and whether of those counted apart for spot; None when nothing was claimed."""
    row = tx.one("DELETE FROM claims WHERE subject = :subject RETURNING offer_id, is_spot", subject=subject)
    return None if row is None else (row[0], bool(row[1]))


def suppress(tx: Tx, offer_id: str, until: Instant) -> None:
    tx.run(
        "UPDATE offers SET suppressed_until = :until WHERE id = :id AND suppressed_until < :until",
        id=offer_id,
        until=until,
    )


def upsert_location(tx: Tx, place: Place) -> None:
    tx.run(
        "INSERT INTO locations (code, name, country_code, created_at, position)"
        " VALUES (:code, :name, :country, :now, (SELECT COALESCE(MAX(position), 0) + 1 FROM locations))"
        " ON CONFLICT (code) DO UPDATE SET name = excluded.name, country_code = excluded.country_code",
        code=place.code,
        name=place.name,
        country=place.country_code,
        now=tx.now,
    )


def upsert_type(tx: Tx, hardware: Hardware, *, providers: frozenset[str]) -> None:
    tx.run(
        f"INSERT INTO instance_types ({_TYPE}, created_at) VALUES (:name, :gpu_model, :gpu_count, :gpu_vram_gb,"
        " :vcpu_count, :ram_gb, :storage_gb, :description, :manufacturer, :boot_timeout_s, :providers, :gpu_name,"
        " :p2p, :best_for, :deploy_warning, :now)"
        " ON CONFLICT (name) DO UPDATE SET gpu_model = excluded.gpu_model, gpu_count = excluded.gpu_count,"
        " gpu_vram_gb = excluded.gpu_vram_gb, vcpu_count = excluded.vcpu_count, ram_gb = excluded.ram_gb,"
        " storage_gb = excluded.storage_gb, description = excluded.description,"
        " manufacturer = excluded.manufacturer, boot_timeout_s = excluded.boot_timeout_s,"
        " providers = excluded.providers, gpu_name = excluded.gpu_name, p2p = excluded.p2p,"
        " best_for = excluded.best_for, deploy_warning = excluded.deploy_warning",
        name=hardware.name,
        gpu_model=hardware.gpu_model,
        gpu_count=hardware.gpu_count,
        gpu_vram_gb=hardware.gpu_vram_gb,
        vcpu_count=hardware.vcpu_count,
        ram_gb=hardware.ram_gb,
        storage_gb=hardware.storage_gb,
        description=hardware.description,
        manufacturer=hardware.manufacturer,
        boot_timeout_s=hardware.boot_timeout_s,
        providers=_names(providers),
        gpu_name=hardware.gpu_name,
        p2p=hardware.p2p,
        best_for=json.dumps(list(hardware.best_for)),
        deploy_warning=hardware.deploy_warning,
        now=tx.now,
    )


def upsert_image(tx: Tx, image: ProviderImage, *, image_id: str, providers: frozenset[str]) -> None:
    tx.run(
        f"INSERT INTO images ({_IMAGE}) VALUES (:id, :slug, :name, :category, :details, :is_default,"
        " :is_cluster, :os_name, :os_version, :cuda_version, :driver_version, :has_docker, :ssh_user,"
        " :min_os_volume_gb, :gpu_models, :providers, :now, :deprecated_at, :size_gb, :arch, :min_driver,"
        " :removed_at)"
        " ON CONFLICT (slug) DO UPDATE SET name = excluded.name, category = excluded.category,"
        " details = excluded.details, is_default = excluded.is_default, is_cluster = excluded.is_cluster,"
        " os_name = excluded.os_name, os_version = excluded.os_version, cuda_version = excluded.cuda_version,"
        " driver_version = excluded.driver_version, has_docker = excluded.has_docker,"
        " ssh_user = excluded.ssh_user, min_os_volume_gb = excluded.min_os_volume_gb,"
        " gpu_models = excluded.gpu_models, providers = excluded.providers,"
        " deprecated_at = excluded.deprecated_at, size_gb = excluded.size_gb, arch = excluded.arch,"
        " min_driver = excluded.min_driver, removed_at = excluded.removed_at",
        id=image_id,
        slug=image.slug,
        name=image.name,
        category=image.category,
        details=json.dumps(list(image.details)),
        is_default=int(image.is_default),
        is_cluster=int(image.is_cluster),
        os_name=image.os_name,
        os_version=image.os_version,
        cuda_version=image.cuda_version,
        driver_version=image.driver_version,
        has_docker=int(image.has_docker),
        ssh_user=image.ssh_user,
        min_os_volume_gb=image.min_os_volume_gb,
        gpu_models=None if image.gpu_models is None else json.dumps(sorted(image.gpu_models)),
        providers=_names(providers),
        now=tx.now,
        deprecated_at=image.deprecated_at,
        size_gb=image.size_gb,
        arch=image.arch,
        min_driver=image.min_driver,
        removed_at=image.removed_at,
    )


def set_image_providers(tx: Tx, image_id: str, providers: frozenset[str]) -> None:
    tx.run(
        "UPDATE images SET providers = :providers WHERE id = :id", id=image_id, providers=_names(providers)
    )


def set_type_providers(tx: Tx, name: str, providers: frozenset[str]) -> None:
    tx.run(
        "UPDATE instance_types SET providers = :providers WHERE name = :name",
        name=name,
        providers=_names(providers),
    )


def _names(providers: frozenset[str]) -> str:
    return json.dumps(sorted(providers))


def set_abilities(tx: Tx, provider: str, abilities: Abilities) -> None:
    tx.run(
        "UPDATE providers SET abilities = :abilities, configured_at = :now WHERE name = :name",
        name=provider,
        now=tx.now,
        abilities=json.dumps(asdict(abilities), separators=(",", ":")),
    )


def forgotten_providers(tx: Tx, before: Instant) -> list[str]:
    rows = tx.all(
        "SELECT name FROM providers WHERE configured_at < :before ORDER BY name LIMIT 1000", before=before
    )
    return [row[0] for row in rows]


@lru_cache(64)
def _abilities(text: str | None) -> Abilities:
    known = {field.name for field in fields(Abilities)}
    said = {} if text is None else json.loads(text)
    # A provider whose driver was not asked yet can do what drivers usually can.
    return Abilities(**{name: value for name, value in said.items() if name in known})


def abilities(tx: Tx, provider: str) -> Abilities:
    row = tx.one("SELECT abilities FROM providers WHERE name = :name", name=provider)
    return _abilities(None if row is None else row[0])


def add_provider(tx: Tx, provider: str) -> None:
    tx.run("INSERT INTO providers (name) VALUES (:name) ON CONFLICT (name) DO NOTHING", name=provider)


def lock_providers(tx: Tx) -> None:
    tx.all("SELECT 1 FROM providers ORDER BY name" + tx.for_update)


def note_refresh(tx: Tx, provider: str, *, due_at: Instant) -> None:
    tx.run(
        "UPDATE providers SET failure = NULL, failures = 0, refreshed_at = :now, due_at = :due_at"
        " WHERE name = :name",
        name=provider,
        now=tx.now,
        due_at=due_at,
    )


def note_failure(tx: Tx, provider: str, failure: str) -> tuple[int, bool]:
    """How many times in a row it could not be asked, and whether it ever said what it sells."""
    row = tx.one(
        "UPDATE providers SET failure = :failure, failures = failures + 1 WHERE name = :name"
        " RETURNING failures, refreshed_at",
        name=provider,
        failure=failure,
    )
    return (1, False) if row is None else (row[0], row[1] is not None)


def put_off(tx: Tx, provider: str, due_at: Instant) -> None:
    tx.run("UPDATE providers SET due_at = :due_at WHERE name = :name", name=provider, due_at=due_at)


def due_at(tx: Tx, provider: str) -> Instant:
    row = tx.one("SELECT due_at FROM providers WHERE name = :name", name=provider)
    return Instant(0 if row is None else row[0])


def has_claim(tx: Tx, subject: str) -> bool:
    return tx.one("SELECT 1 FROM claims WHERE subject = :subject", subject=subject) is not None
