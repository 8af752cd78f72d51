"""What is asked of the books, and what they answer."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from berth.base.clock import DAY, HOUR, Instant
from berth.base.money import Micros
from berth.core.ledger import Code, Entry


class Kind(StrEnum):
    """What a row of money is about."""

    INSTANCE = "instance"
    VOLUME = "volume"
    CREDIT = "credit"


@dataclass(frozen=True, slots=True)
class Transaction:
    """A row of the ledger, and what it was for. The name is there long after its bearer is gone."""

    entry: Entry
    kind: Kind
    name: str | None


@dataclass(frozen=True, slots=True)
class EntryFilter:
    """Which rows to list, all if empty. Written at `from_at` or later and before `to_at`."""

    code: Code | None = None
    instance_id: str | None = None
    volume_id: str | None = None
    from_at: Instant | None = None
    to_at: Instant | None = None


class GroupBy(StrEnum):
    """What a row of a usage report stands for."""

    INSTANCE = "instance"
    VOLUME = "volume"
    DAY = "day"
    HOUR = "hour"
    GPU_MODEL = "gpu_model"
    API_KEY = "api_key"


@dataclass(frozen=True, slots=True)
class Buckets:
    """A window [`start`, `end`) of whole buckets."""

    start: Instant
    end: Instant

    @staticmethod
    def around(start: Instant, end: Instant, group_by: GroupBy) -> "Buckets":
        """The least window of whole days for a report by day, else of whole hours, that holds start and end."""
        size = DAY if group_by is GroupBy.DAY else HOUR
        return Buckets(Instant(start - start % size), Instant(end + -end % size))


@dataclass(frozen=True, slots=True)
class UsageFilter:
    group_by: GroupBy
    window: Buckets
    instance_id: str | None = None
    status: str | None = None
    """Of the instance, or of the volume."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What one group used and was charged for in the window. `key` names it; None is what has no such name."""

    key: str | None
    used_s: int
    """Seconds that instances ran."""
    minimum_s: int
    """Seconds charged beyond those, to the minimum."""
    compute: Micros
    storage: Micros
    name: str | None = None
    """The members from here on are there by instance and by volume."""
    type: str | None = None
    location: str | None = None
    status: str | None = None
    unit_price: int | None = None
    """Micros for an hour."""
    started_at: Instant | None = None
    ended_at: Instant | None = None

    @property
    def total(self) -> Micros:
        return Micros(self.compute + self.storage)


@dataclass(frozen=True, slots=True)
class UsageTotals:
    """Over every group, not only those of a page."""

    groups: int
    used_s: int
    compute: Micros
    storage: Micros


@dataclass(frozen=True, slots=True)
class UsagePage:
    rows: Sequence[Usage]
    has_more: bool
    totals: UsageTotals


class MarginBy(StrEnum):
    PROVIDER = "provider"
    TYPE = "type"
    PROJECT = "project"
    INSTANCE = "instance"


@dataclass(frozen=True, slots=True)
class Margin:
    """What one group brought in and what it cost us."""

    key: str
    name: str
    seconds: int
    """Billed time, of instances and of volumes."""
    revenue: Micros
    """Rows of the ledger that were written in the window."""
    cost: Micros
    """What providers charge for the billed time that lies in the window."""

    @property
    def margin(self) -> Micros:
        return Micros(self.revenue - self.cost)


@dataclass(frozen=True, slots=True)
class Cost:
    """What the sessions on one type of GPU at one provider came to in a window."""

    provider: str
    gpu_type: str
    sessions: int
    """Those that used or were charged anything in it."""
    used_s: int
    total: Micros


@dataclass(frozen=True, slots=True)
class Costs:
    """What sessions came to in a window, and on what. No session is in two of its rows."""

    rows: Sequence[Cost]

    @property
    def sessions(self) -> int:
        return sum(row.sessions for row in self.rows)

    @property
    def used_s(self) -> int:
        return sum(row.used_s for row in self.rows)

    @property
    def total(self) -> Micros:
        return Micros(sum(row.total for row in self.rows))

    @property
    def by_provider(self) -> Mapping[str, Micros]:
        return _sums((row.provider, row.total) for row in self.rows)

    @property
    def by_gpu_type(self) -> Mapping[str, Micros]:
        return _sums((row.gpu_type, row.total) for row in self.rows)


def _sums(pairs: Iterable[tuple[str, Micros]]) -> dict[str, Micros]:
    found: dict[str, Micros] = {}
    for name, amount in pairs:
        found[name] = Micros(found.get(name, 0) + amount)
    return found
