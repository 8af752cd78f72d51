"""The very same statements: what a verb ran, taken down, to be run again with fresh ids and nothing around them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Concatenate, Literal

from berth.base import ids
from berth.base.clock import Instant, SystemClock
from berth.base.db import Database, P, R, Row, Tx
from berth.base.meters import Reading

_clock = SystemClock()
How = Literal["run", "one", "all"]


@dataclass(frozen=True, slots=True)
class Statement:
    how: How
    text: str
    values: dict[str, Any]


class RecordingTx:
    """Passes everything on and takes it down."""

    def __init__(self, tx: Tx, statements: list[Statement]) -> None:
        self.now: Instant = tx.now
        self.for_update = tx.for_update
        self.skip_locked = tx.skip_locked
        self._tx = tx
        self._statements = statements

    def run(self, statement: str, /, **values: Any) -> int:
        self._statements.append(Statement("run", statement, values))
        return self._tx.run(statement, **values)

    def run_many(self, statement: str, rows: list[dict[str, Any]], /) -> None:
        self._statements.extend(Statement("run", statement, values) for values in rows)
        self._tx.run_many(statement, rows)

    def one(self, statement: str, /, **values: Any) -> Row | None:
        self._statements.append(Statement("one", statement, values))
        return self._tx.one(statement, **values)

    def all(self, statement: str, /, **values: Any) -> list[Row]:
        self._statements.append(Statement("all", statement, values))
        return self._tx.all(statement, **values)

    def after_commit(self, action: Callable[[], None]) -> None:
        self._tx.after_commit(action)

    def signal(self, name: str) -> None:
        self._tx.signal(name)


class RecordingDatabase:
    """A database whose writing verbs are taken down: `statements` are those of the longest since `clear`."""

    def __init__(self, db: Database) -> None:
        self.statements: list[Statement] = []
        self.on_signal = db.on_signal
        self._db = db

    @property
    def is_shared(self) -> bool:
        return self._db.is_shared

    async def write(self, verb: Callable[Concatenate[Tx, P], R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await self._db.write(self._recorded(verb), *args, **kwargs)

    async def read(self, verb: Callable[Concatenate[Tx, P], R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await self._db.read(verb, *args, **kwargs)

    def write_now(self, verb: Callable[Concatenate[Tx, P], R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._db.write_now(self._recorded(verb), *args, **kwargs)

    def read_now(self, verb: Callable[Concatenate[Tx, P], R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._db.read_now(self._recorded(verb), *args, **kwargs)

    def readings(self) -> Sequence[Reading]:
        return self._db.readings()

    def close(self) -> None:
        self._db.close()

    def clear(self) -> None:
        self.statements = []

    def _recorded(self, verb: Callable[Concatenate[Tx, P], R]) -> Callable[Concatenate[Tx, P], R]:
        def record(tx: Tx, /, *args: P.args, **kwargs: P.kwargs) -> R:
            statements: list[Statement] = []
            result = verb(RecordingTx(tx, statements), *args, **kwargs)
            # Noting when a key was used last is a write of its own, of one statement, that may come in between.
            self.statements = max(self.statements, statements, key=len)
            return result

        return record


@dataclass(frozen=True, slots=True)
class Template:
    """The statements of one verb, and which of their values must be fresh each time it is replayed."""

    statements: Sequence[Statement]
    fresh: Sequence[dict[str, int]]
    """For each statement, which members hold which of the fresh ids."""

    @property
    def fresh_count(self) -> int:
        return 1 + max((slot for slots in self.fresh for slot in slots.values()), default=-1)

    def replay(self) -> list[dict[str, Any]]:
        """The values of one more run, statement by statement."""
        now = _clock.now()
        names = [ids.new(now) for _ in range(self.fresh_count)]
        return [
            {**statement.values, **{member: names[slot] for member, slot in slots.items()}}
            for statement, slots in zip(self.statements, self.fresh, strict=True)
        ]


def template(first: Sequence[Statement], second: Sequence[Statement], *, keys: set[str]) -> Template:
    """From two runs of one verb that differ in `keys` alone: an id that differs was made by the run itself."""
    assert [each.text for each in first] == [each.text for each in second]
    slots: dict[str, int] = {}
    fresh = []
    for one, other in zip(first, second, strict=True):
        members = {}
        for member, value in one.values.items():
            if (
                isinstance(value, str)
                and value != other.values[member]
                and (value in keys or ids.is_id(value))
            ):
                members[member] = slots.setdefault(value, len(slots))
        fresh.append(members)
    return Template(list(first), fresh)


def replays(templates: Sequence[Template], count: int) -> Iterator[tuple[Template, list[dict[str, Any]]]]:
    """`count` runs, the templates taking turns."""
    for number in range(count):
        chosen = templates[number % len(templates)]
        yield chosen, chosen.replay()
