"""What a row of money is."""

from dataclasses import dataclass
from enum import StrEnum

from berth.base.clock import Instant
from berth.base.money import Micros


class Code(StrEnum):
    """Why money moved."""

    TOPUP = "topup"
    PROMO = "promo"
    USAGE = "usage"
    MINIMUM = "minimum"
    STORAGE = "storage"
    EARLY_TERMINATION = "early_termination"
    """What was taken off the price of a term that its owner did not keep."""
    REFUND = "refund"
    ADJUSTMENT = "adjustment"
    REVERSAL = "reversal"


CREDITS = frozenset({Code.TOPUP, Code.PROMO, Code.REFUND, Code.ADJUSTMENT})
"""What an operator can add to a balance."""


@dataclass(frozen=True, slots=True)
class Account:
    """A project's money. `balance` is the sum of its rows; `held` is set aside and still in the balance."""

    id: str
    balance: Micros
    held: Micros


@dataclass(frozen=True, slots=True)
class Posting:
    """A row to be written. (`subject`, `tick`, `code`) is its reason: a second row of one reason is refused.

    What runs or is stored has ticks from 1 on, and what is taken back of it the negative `seq` of that row. Credit
    has tick 0, and its reference for a subject.
    """

    code: Code
    subject: str
    tick: int
    amount: Micros
    period_start_at: Instant | None = None
    period_end_at: Instant | None = None
    seconds: int | None = None
    price_micros_per_hour: int | None = None
    is_final: bool = False
    note: str | None = None
    reverses: int | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A row as written."""

    seq: int
    account: str
    code: Code
    subject: str
    tick: int
    amount: Micros
    balance_after: Micros
    period_start_at: Instant | None
    period_end_at: Instant | None
    seconds: int | None
    price_micros_per_hour: int | None
    is_final: bool
    note: str | None
    created_at: Instant
    reverses: int | None = None
    """The `seq` of the row that this one takes back."""


@dataclass(frozen=True, slots=True)
class Spending:
    """What some of an account's rows add up to."""

    micros: Micros
    to_seq: int
    """The last of them."""
