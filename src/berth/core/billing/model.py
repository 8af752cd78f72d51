"""Segments of billed time and the views of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from berth.base.clock import Instant, seconds_between
from berth.base.money import USD, Micros
from berth.core.billing import rates
from berth.core.billing.periods import PERIODS, Period


class State(StrEnum):
    """Where an account stands, from having enough to losing what it cannot pay for."""

    ACTIVE = "active"
    LOW = "low"
    DEPLETED = "depleted"
    SUSPENDED = "suspended"
    PURGING = "purging"


EMPTY = frozenset({State.DEPLETED, State.SUSPENDED, State.PURGING})
STOPPED = frozenset({State.SUSPENDED, State.PURGING})
"""Nothing may run."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator decides about money."""

    minimum_balance: Micros = Micros(20 * USD)
    """A deploy needs at least this much that is neither owed nor held."""
    minimum_on_cancel: bool = True
    """Deleting before `running` costs the minimum once something was created at the provider."""
    bills_boot: bool = False
    """The clock starts with the order, once what was ordered runs; otherwise it starts when it runs."""
    min_runway_minutes: int = 0
    """A deploy also needs as much as it costs in so many minutes."""
    grace_s: int = 600
    """Between a balance seen to be used up and the stop of what runs."""
    volume_retention_hours: int = 72
    """Between that stop and the deletion of what is kept."""
    periods: Sequence[Period] = PERIODS
    """What instances can be bound for."""
    cluster_periods: Sequence[Period] = PERIODS
    """What clusters can be bound for."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of billed time of one subject at one price. Segments of a subject never overlap."""

    subject: str
    number: int
    account: str
    price_micros_per_hour: int
    cost_micros_per_hour: int
    """What the provider charges us."""
    started_at: Instant
    ended_at: Instant | None
    before_s: int
    """Billed seconds of the segments before this one at the same price: charges are differences of cumulative totals."""
    first_tick: int
    """Ticks posted before this segment began."""
    earlier_s: int = 0
    """Billed seconds before those, at other prices."""
    earlier: Micros = Micros(0)
    """What they cost, each price's total rounded once."""

    def price_s(self, at: Instant) -> int:
        """Seconds billed at this price, up to `at`."""
        return self.before_s + seconds_between(self.started_at, at)

    def billed_s(self, at: Instant) -> int:
        """Seconds billed in all, up to `at`."""
        return self.earlier_s + self.price_s(at)

    def total(self, at: Instant) -> Micros:
        """What all of them cost."""
        return Micros(self.earlier + rates.total(self.price_micros_per_hour, self.price_s(at)))


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of storage of one subject at one price. Stretches of a subject never overlap."""

    subject: str
    number: int
    account: str
    micros_per_month: int
    cost_micros_per_month: int
    started_at: Instant
    ended_at: Instant | None
    before_s: int
    """Seconds of the stretches before this one."""
    before: Micros
    """What the stretches before this one cost."""
    first_tick: int
    """The highest tick posted before this stretch began."""
    phase: int
    """When in an hour it is charged: the same for all of one account."""

    def ended(self, at: Instant) -> "Stretch":
        return replace(self, ended_at=at)


@dataclass(frozen=True, slots=True)
class Balance:
    """An account at one instant, in micro-dollars."""

    balance: Micros
    accrued: Micros
    """Used by running instances and by volumes, and not charged yet."""
    held: Micros
    burn_micros_per_hour: int
    minimum_balance: Micros
    state: State = State.ACTIVE
    depleted_at: Instant | None = None
    stops_at: Instant | None = None
    """When what runs will be stopped, unless credit comes."""
    is_within_budget: bool = True
    """False while a budget that stops is used up."""

    @property
    def effective(self) -> Micros:
        return Micros(self.balance - self.accrued)

    @property
    def can_deploy(self) -> bool:
        """Whether an order would be accepted that keeps to the limit of an hour's price."""
        if self.state in EMPTY or not self.is_within_budget:
            return False
        return self.effective - self.held >= self.minimum_balance

    @property
    def runway_s(self) -> int | None:
        """Seconds until nothing is left at this burn rate; None when nothing burns."""
        if self.burn_micros_per_hour == 0:
            return None
        return max(0, self.effective * 3600 // self.burn_micros_per_hour)


@dataclass(frozen=True, slots=True)
class Bill:
    """What one subject has cost so far."""

    started_at: Instant | None
    ended_at: Instant | None
    billed_s: int
    """Seconds used; the minimum is not in it."""
    charged: Micros
    """In the ledger already."""
    accrued: Micros
    """Used since the last charge."""
    is_charging: bool
    earlier_s: int = 0
    """Of `billed_s`, what was used at other prices than the present one."""
    earlier: Micros = Micros(0)
    """What that cost."""

    @property
    def total(self) -> Micros:
        return Micros(self.charged + self.accrued)


UNUSED = Bill(None, None, 0, Micros(0), Micros(0), is_charging=False)
"""The bill of what never ran."""
