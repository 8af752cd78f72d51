"""Taking stock: how the inventory of now is made out of the database and what the last one knew already.

Units, failures and age change all the time and are read anew; what an offer is like is read once and kept while the
offer says that it has not changed. Reading is one short transaction, and the rest needs none.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any

from berth.base.clock import HOUR, MINUTE, Instant
from berth.base.db import Database, Row, Tx
from berth.base.money import Micros
from berth.core.catalog import failures, store
from berth.core.catalog.failures import Trust
from berth.core.catalog.inventory.model import Listed, Seller
from berth.core.catalog.inventory.snapshot import Inventory
from berth.core.catalog.model import InstanceType, Location

FRESH = 2 * MINUTE
"""What was said no longer ago is taken as it was said."""
STALE = 5 * MINUTE
"""From here on it is trusted half; between the two, less by the second."""
_DIGITS = 4
"""Of a confidence: what differs less is the same, so that the price decides."""
_KNOWN_FOR = HOUR


@dataclass(frozen=True, slots=True)
class Seen:
    """What was read, in one transaction."""

    now: Instant
    marks: Sequence[Row]
    facts: Sequence[Row]
    types: Mapping[str, InstanceType]
    places: Mapping[str, Location]
    sellers: Mapping[str, Seller]
    trust: Trust

    def is_same(self, other: "Seen") -> bool:
        """Whether both make the same inventory."""
        return (
            not self.facts
            and self.sellers == other.sellers
            and self.ages() == other.ages()
            and self.trust == other.trust
            and self.types == other.types
            and self.places == other.places
            and self.marks == other.marks
            and not any(other.now < mark[3] <= self.now for mark in self.marks)
        )

    def sharing(self, other: "Seen") -> "Seen":
        """The same, with the very objects of `other` where they are equal: what is made of them is then known again."""
        return replace(
            self,
            types=other.types if self.types == other.types else self.types,
            places=other.places if self.places == other.places else self.places,
        )

    def ages(self) -> Mapping[str, float]:
        """What age leaves of the confidence in each seller's word."""
        return {name: age_factor(self.now, seller.refreshed_at) for name, seller in self.sellers.items()}


class Shelf:
    """Where the inventory of now lies: whoever reads takes it once and keeps to what they took."""

    def __init__(self, inventory: Inventory | None = None) -> None:
        self.inventory = Inventory() if inventory is None else inventory
        self._kept: dict[str, _Kept] = {}
        self._seen: Seen | None = None
        self._restocking = Lock()

    def restock(self, db: Database) -> bool:
        """Puts there what the database says now; False where that was no news. Takes its time: not in an event loop."""
        with self._restocking:
            seen = db.read_now(self._look)
            if self._seen is not None and seen.is_same(self._seen):
                return False
            if self._seen is not None:
                seen = seen.sharing(self._seen)
            self.inventory = self._make(seen)
            self._seen = seen
            return True

    def _look(self, tx: Tx) -> Seen:
        marks = store.offer_marks(tx, unlisted_since=Instant(tx.now - _KNOWN_FOR))
        kept = self._kept
        new = [mark[0] for mark in marks if (known := kept.get(mark[0])) is None or known.facts[1] != mark[1]]
        return Seen(
            now=tx.now,
            marks=marks,
            facts=store.offer_facts(tx, new),
            types={kind.name: kind for kind in store.list_types(tx)},
            places={place.code: place for place in store.list_locations(tx)},
            sellers={name: Seller(name, at, failure) for name, at, failure in store.providers_seen(tx)},
            trust=failures.trust(tx),
        )

    def _make(self, seen: Seen) -> Inventory:
        before = self._kept
        self._kept = {}
        for row in seen.facts:
            before[row[0]] = _Kept(row)
        offers = []
        ages = seen.ages()
        for mark in seen.marks:
            kept = before.get(mark[0])
            if kept is None or kept.facts[4] not in seen.types or kept.facts[5] not in seen.places:
                continue
            self._kept[mark[0]] = kept
            offers.append(_listed(kept, mark, seen, ages.get(kept.facts[2], 1.0)))
        return Inventory(offers, sellers=seen.sellers.values(), taken_at=seen.now)


class _Kept:
    """What an offer is like, and how it was listed last."""

    __slots__ = ("facts", "listed", "made_of", "market")

    def __init__(self, facts: Row) -> None:
        self.facts = facts
        self.market: Mapping[str, Any] = {} if facts[9] is None else json.loads(facts[9])
        self.listed: Listed | None = None
        self.made_of: tuple[object, ...] = ()


def age_factor(now: Instant, refreshed_at: Instant | None) -> float:
    """What age leaves of the confidence in what was said at `refreshed_at`."""
    age = now - (refreshed_at or 0)
    if age <= FRESH:
        return 1.0
    return 1.0 - 0.5 * (min(age, STALE) - FRESH) / (STALE - FRESH)


def _listed(kept: _Kept, mark: Row, seen: Seen, age: float) -> Listed:
    """The row as it is now, which is the one of before where nothing differs."""
    offer_id, _, free_units, suppressed_until, is_listed = mark
    provider, instance_type, code = kept.facts[2], kept.facts[4], kept.facts[5]
    kind, place = seen.types[instance_type], seen.places[code]
    left = 1.0 if seen.trust.is_whole else seen.trust.multiplier(offer_id, provider, kind.gpu_model or "")
    is_available = bool(is_listed and free_units > 0 and suppressed_until <= seen.now and left > 0)
    seller = seen.sellers.get(provider)
    named_at = seller.refreshed_at if seller is not None and is_listed else None
    made_of = (kept.facts, free_units, is_listed, is_available, left * age, named_at, kind, place)
    if kept.listed is None or kept.made_of != made_of:
        kept.listed = _made(kept, kind, place, made_of)
        kept.made_of = made_of
    return kept.listed


def _made(kept: _Kept, kind: InstanceType, place: Location, made_of: tuple[Any, ...]) -> Listed:
    _, free_units, is_listed, is_available, trusted, named_at, *_ = made_of
    offer_id, _, provider, name, instance_type, code, price, cost, is_simulated, text, changed_at = kept.facts
    market = kept.market
    return Listed(
        id=f"{provider}-{name}",
        offer_id=offer_id,
        provider=provider,
        provider_offer_id=name,
        instance_type=instance_type,
        place=code,
        location=market.get("location") or place.name or code,
        gpu_type=kind.gpu_model or "",
        gpu_count=kind.gpu_count,
        vram_gb=kind.gpu_vram_gb,
        vcpu_count=kind.vcpu_count,
        ram_gb=kind.ram_gb,
        storage_gb=kind.storage_gb,
        price=Micros(price),
        cost=Micros(cost),
        free_units=free_units,
        is_listed=bool(is_listed),
        is_available=is_available,
        confidence=round(_share(market.get("confidence", 1.0)) * trusted, _DIGITS),
        fetched_at=changed_at if named_at is None else named_at,
        reliability=_share(market.get("reliability", 1.0)),
        max_duration_hours=market.get("max_duration_hours", 0),
        cuda_version=_figure(market.get("cuda_version")),
        physical_host=market.get("physical_host"),
        is_interruptible=market.get("is_interruptible", False),
        min_bid=market.get("min_bid_micros_per_hour"),
        is_simulated=bool(is_simulated),
        is_market=text is not None,
        host=market.get("host", _NO_HOST),
    )


_NO_HOST: Mapping[str, str | int | float | bool] = {}


def _share(value: float) -> float:
    """Between 0 and 1, whatever a marketplace says."""
    return 0.0 if math.isnan(value) else min(1.0, max(0.0, float(value)))


def _figure(value: float | None) -> float | None:
    """One that can be compared, or none."""
    return None if value is None or not math.isfinite(value) or value < 0 else float(value)
