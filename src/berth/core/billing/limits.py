"""What an owner allows to be spent: values only. Whether it is kept is asked in `spending`."""

from dataclasses import dataclass
from enum import StrEnum

from berth.base.clock import Instant
from berth.base.money import Micros


class OnBudget(StrEnum):
    """What happens when a month's spending reaches its budget."""

    NOTIFY = "notify"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Limits:
    """None is no limit."""

    max_hourly: Micros | None = None
    """What all that runs may cost in an hour."""
    monthly_budget: Micros | None = None
    """What may be spent in a calendar month, UTC."""
    on_budget: OnBudget = OnBudget.NOTIFY
    auto_resume: bool = False
    """What was stopped for want of credit is started again once there is credit."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What the rows of one month add up to, as far as they were read."""

    month_at: Instant = Instant(0)
    """When the month began."""
    micros: Micros = Micros(0)
    to_seq: int = 0
    """The last row that is in it."""
    reached_in_month_at: Instant = Instant(0)
    """The month in which the budget was last announced as reached."""
