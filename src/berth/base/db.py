"""The database as the rest of Berth sees it: verbs over a `Tx`, on SQLite or PostgreSQL alike.

A verb is a plain synchronous function whose first parameter is a `Tx`. It never commits: it is run
inside one transaction, its answer leaves only after the commit, and an exception undoes all of it.
Statements are written once, with `:name` parameters, in the subset of SQL both engines share.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from berth.base.clock import Clock, Instant
from berth.base.meters import Reading

P = ParamSpec("P")
R = TypeVar("R")
Row = tuple[Any, ...]
"""One row of an answer, columns in the order of the statement."""
Verb = Callable[Concatenate["Tx", P], R]


class Tx(Protocol):
    """One open transaction. `now` is the same instant for everything done in it."""

    now: Instant
    for_update: str
    """Ends a SELECT whose rows must not change before the commit; empty where writers take turns."""
    skip_locked: str
    """Ends a SELECT that claims rows and leaves those that others hold."""

    def run(self, statement: str, /, **values: Any) -> int:
        """Executes and returns the number of rows written."""

    def run_many(self, statement: str, rows: list[dict[str, Any]], /) -> None:
        """Executes once for each of `rows`."""

    def one(self, statement: str, /, **values: Any) -> Row | None:
        """The first row, or None."""

    def all(self, statement: str, /, **values: Any) -> list[Row]:
        """Every row: the statement itself must hold the limit."""

    def after_commit(self, action: Callable[[], None]) -> None:
        """Runs `action` once this verb's work is durable; never if it is undone."""

    def signal(self, name: str) -> None:
        """Calls the database's `on_signal` with `name` once this verb's work is durable; never if it is undone."""


def ignore_signal(_name: str) -> None:
    """What a database does with signals until somebody listens."""


class Database(Protocol):
    """Runs verbs. `write` and `read` are for the event loop, `write_now` and `read_now` for other threads."""

    on_signal: Callable[[str], None]
    """Who is told what verbs signal: work that waits for a loop. Called where `after_commit` actions run."""

    async def write(self, verb: Callable[Concatenate[Tx, P], R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Runs `verb` in a transaction of its own and returns after the commit."""

    async def read(self, verb: Callable[Concatenate[Tx, P], R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Runs `verb`, which must not write, on one consistent snapshot."""

    def write_now(self, verb: Callable[Concatenate[Tx, P], R], /, *args: P.args, **kwargs: P.kwargs) -> R: ...

    def read_now(self, verb: Callable[Concatenate[Tx, P], R], /, *args: P.args, **kwargs: P.kwargs) -> R: ...

    @property
    def is_shared(self) -> bool:
        """Whether other processes write to it too, so that nothing read may be kept."""

    def readings(self) -> Sequence[Reading]:
        """How many writes wait, and what writing has cost so far."""

    def close(self) -> None:
        """Finishes what was accepted, then closes."""


class DatabaseUnavailable(Exception):
    """The engine cannot be reached, or cannot write; nothing of the verb was kept."""


def pressure(*, waiting: float, transactions: int, seconds: float) -> Sequence[Reading]:
    """The readings of every engine."""
    return (
        Reading("berth_database_writes_waiting", "Writes that wait for their turn.", [((), waiting)]),
        Reading(
            "berth_database_transactions", "Transactions that wrote.", [((), transactions)], is_total=True
        ),
        Reading(
            "berth_database_transaction_seconds",
            "Seconds that transactions took that wrote, commits among them.",
            [((), seconds)],
            is_total=True,
        ),
    )


def is_postgresql(url: str) -> bool:
    return url.startswith(("postgresql://", "postgres://"))


def connect(url: str, clock: Clock) -> Database:
    """Opens `postgresql://…` or `sqlite:///path`. The schema must be there already."""
    if is_postgresql(url):
        from berth.base.postgres import PostgresDatabase  # noqa: PLC0415 - only where it is used

        return PostgresDatabase(url, clock)
    from berth.base.sqlite import SqliteDatabase  # noqa: PLC0415

    return SqliteDatabase(sqlite_path(url), clock)


def sqlite_path(url: str) -> Path:
    """The file of a `sqlite:///` address. Raises ValueError for any other."""
    scheme = "sqlite:///"
    if not url.startswith(scheme) or url == scheme:
        raise ValueError(f"neither a postgresql:// nor a sqlite:/// address: {url!r}")
    return Path(url.removeprefix(scheme))
