"""When an instance ends by itself, and whether that can be asked for. Pure."""

from dataclasses import dataclass

from berth.base.clock import DAY, MINUTE, Instant, after
from berth.base.money import Micros, show
from berth.core import billing
from berth.core.billing import Bill
from berth.core.errors import Invalid
from berth.core.instances.model import AutoDelete, Instance, Reservation, Status

NOTICE = 15 * MINUTE
"""How long before its end the owner is told."""
_LATEST = 3650 * DAY
_IDLE_LEAST_S = 60
_IDLE_MOST_S = 30 * 86_400


@dataclass(frozen=True, slots=True)
class End:
    at: Instant
    code: str
    """Why: one of `reasons.SENTENCES`."""


def plan(instance: Instance, reservation: Reservation, bill: Bill, now: Instant) -> End | None:
    """The first end to come as things are now; None while there is none in sight."""
    wanted = reservation.wanted
    ends = []
    if wanted.at is not None:
        ends.append(End(wanted.at, "expired"))
    if (
        wanted.max_spend is not None
        and (spent_at := _spent_at(instance, wanted.max_spend, bill, now)) is not None
    ):
        ends.append(End(spent_at, "max_spend_reached"))
    if wanted.idle_s is not None and reservation.idle_since is not None and instance.status is Status.RUNNING:
        ends.append(End(after(reservation.idle_since, seconds=wanted.idle_s), "idle"))
    return min(ends, key=lambda end: end.at, default=None)


def check(wanted: AutoDelete, now: Instant) -> None:
    """Raises Invalid naming the member that means nothing, whatever is ordered."""
    if wanted.at is not None and not now < wanted.at <= now + _LATEST:
        raise _invalid("at", "must lie in the future, within ten years.")
    if wanted.max_spend is not None and wanted.max_spend <= 0:
        raise _invalid("max_spend_usd", "must be more than zero.")
    if wanted.idle_s is not None and not _IDLE_LEAST_S <= wanted.idle_s <= _IDLE_MOST_S:
        raise _invalid("idle_minutes", "must be 1 to 43200.")


def check_offer(wanted: AutoDelete, price: int, *, reports_use: bool) -> None:
    """Raises Invalid naming the member that cannot be kept at this price and by this provider."""
    least = billing.total(price, billing.MINIMUM_S)
    if wanted.max_spend is not None and wanted.max_spend < least:
        raise _invalid("max_spend_usd", f"must be at least the minimum charge, {show(least)}.")
    if wanted.idle_s is not None and not reports_use:
        raise _invalid(
            "idle_minutes", "cannot be kept here: the provider does not tell what its instances do."
        )


def _spent_at(instance: Instance, max_spend: Micros, bill: Bill, now: Instant) -> Instant | None:
    if bill.total >= max_spend:
        return now
    if not bill.is_charging or instance.price == 0:
        return None
    needed_s = billing.seconds_for(instance.price, max_spend - bill.earlier)
    return after(now, seconds=needed_s - (bill.billed_s - bill.earlier_s))


def _invalid(member: str, message: str) -> Invalid:
    field = f"auto_delete.{member}"
    return Invalid("invalid_field", f"{field}: {message}", field=field)
