"""What something would cost, by the same arithmetic that would charge it."""

from collections.abc import Sequence
from dataclasses import dataclass

from berth.base.db import Tx
from berth.base.money import Micros
from berth.core import billing, catalog, events
from berth.core.billing import Rules
from berth.core.catalog import OfferView
from berth.core.errors import Invalid, NotFound
from berth.core.events import Actor


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an estimate is asked for. Volumes are (type, GB) pairs; boot disks are in the price of their instance."""

    instance_type: str
    location: str | None
    """None for wherever the type is cheapest."""
    seconds: int
    volumes: Sequence[tuple[str, int]] = ()


@dataclass(frozen=True, slots=True)
class VolumeLine:
    type: str
    size_gb: int
    micros_per_month: int
    total: Micros


@dataclass(frozen=True, slots=True)
class Estimate:
    instance_type: str
    location: str
    seconds: int
    price_micros_per_hour: int
    compute: Micros
    """For `seconds`, or for the minimum if that is more."""
    minimum: Micros
    volumes: Sequence[VolumeLine]
    runway_s: int | None
    """How long the balance lasts once this runs beside what runs already; None when nothing costs anything."""

    @property
    def micros_per_month_of_storage(self) -> int:
        return sum(line.micros_per_month for line in self.volumes)

    @property
    def total(self) -> Micros:
        return Micros(self.compute + sum(line.total for line in self.volumes))


def estimate(tx: Tx, by: Actor, wanted: Wanted, rules: Rules) -> Estimate:
    """A quote at the prices of now; nothing is kept or claimed. Raises Invalid naming the member."""
    by.may("billing:read")
    offer = _offer(tx, by, wanted)
    regions = offer.available or offer.regions
    region = min(regions, key=lambda each: (each.price, each.location.code))
    location = region.location.code
    volumes = [_volume(tx, kind, size_gb, location, wanted.seconds) for kind, size_gb in wanted.volumes]
    state = billing.balance(tx, by.project, rules)
    burn = state.burn_micros_per_hour + region.price
    burn += billing.hourly(sum(line.micros_per_month for line in volumes))
    return Estimate(
        wanted.instance_type,
        location,
        wanted.seconds,
        region.price,
        billing.total(region.price, max(wanted.seconds, billing.MINIMUM_S)),
        billing.total(region.price, billing.MINIMUM_S),
        volumes,
        None if burn == 0 else max(0, state.effective * 3600 // burn),
    )


def _offer(tx: Tx, by: Actor, wanted: Wanted) -> OfferView:
    # Whoever may ask what money buys need not be allowed to read the catalogue.
    reader = events.system(by.project, by.key_id)
    if wanted.location is not None and catalog.find_location(tx, wanted.location) is None:
        raise Invalid("invalid_field", f"location: unknown location {wanted.location!r}.", field="location")
    try:
        return catalog.get_offer(tx, reader, wanted.instance_type, location=wanted.location)
    except NotFound as error:
        raise Invalid("invalid_field", f"instance_type: {error.message}", field="instance_type") from None


def _volume(tx: Tx, kind: str, size_gb: int, location: str, seconds: int) -> VolumeLine:
    """At the lowest price in that location that has this size."""
    sold = catalog.pick_volume_types(tx, kind, location)
    fitting = [each for each in sold if each.min_size_gb <= size_gb <= each.max_size_gb]
    if not fitting:
        raise Invalid(
            "invalid_field",
            f"volumes.size: {kind} has {sold[0].min_size_gb} to {sold[0].max_size_gb} GB.",
            field="volumes.size",
        )
    monthly = fitting[0].price_micros_per_gb_month * size_gb
    return VolumeLine(kind, size_gb, monthly, billing.monthly(monthly, seconds))
