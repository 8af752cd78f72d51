"""Who looks at every commit: at each of them the books are right, and each change of state has its event.

`Watched` is a database as everybody has it. What its witness finds wrong is kept until somebody asks.
"""

from collections.abc import Callable, Sequence
from typing import Concatenate

from berth.base.clock import Instant
from berth.base.db import Database, P, R, Row, Tx
from berth.base.meters import Reading
from berth.loops.holding import under
from tests.world.straight import StraightSqlite
from tests.world.world import Turnable

_NEW_ENTRIES = (
    "SELECT seq, account_id, subject, tick, code, amount_micros, balance_after_micros, is_final FROM entries"
    " WHERE seq > :seq ORDER BY seq"
)
_ACCOUNTS = (
    "SELECT id, balance_micros, held_micros, CAST(COALESCE((SELECT SUM(amount_micros) FROM holds"
    " WHERE holds.account_id = accounts.id), 0) AS BIGINT) FROM accounts"
)
_UNITS = (
    "SELECT o.id, o.free_units + COUNT(c.subject) FROM offers o LEFT JOIN claims c ON c.offer_id = o.id"
    " GROUP BY o.id, o.free_units"
)
_LISTS = "take_in"
"""The name of the verb by which a provider's own count comes in."""
_STATES = (
    "SELECT id, sequence, status, wanted, CAST(is_reserved AS TEXT) FROM instances"
    " UNION ALL SELECT id, sequence, status, wanted, CAST(size_gb AS TEXT) FROM volumes WHERE os_of IS NULL"
    " UNION ALL SELECT id, sequence, status, COALESCE(instance_id, ''), COALESCE(blocked_reason, '')"
    " FROM waitlist_entries"
)
# What is to cost and does not, or the other way round.
_METERS = (
    "SELECT v.id, s.subject FROM volumes v LEFT JOIN storage_segments s ON s.subject = v.id AND s.ended_at IS NULL"
    " WHERE v.os_of IS NULL AND (v.wanted = 'kept' AND v.handle IS NOT NULL AND v.born_with IS NULL)"
    " <> (s.subject IS NOT NULL) UNION ALL SELECT i.id, s.subject FROM instances i"
    " LEFT JOIN segments s ON s.subject = i.id AND s.ended_at IS NULL WHERE (i.status = 'running' AND i.wanted ="
    " 'running' AND s.subject IS NULL) OR (i.status NOT IN ('running', 'offline') AND s.subject IS NOT NULL)"
)


class Witness:
    """Keeps books of its own from the rows as they come."""

    def __init__(self) -> None:
        self.instants: set[Instant] = set()
        """When anything was committed."""
        self.problems: list[str] = []
        self._seq = 0
        self._balances: dict[str, int] = {}
        self._reasons: set[tuple[str, str, int, str]] = set()
        self._ended: set[str] = set()
        self._states: dict[str, Row] = {}
        self._units: dict[str, int] = {}

    def look(self, tx: Tx) -> None:
        self._read_entries(tx.all(_NEW_ENTRIES, seq=self._seq))
        for account, balance, held, holds in tx.all(_ACCOUNTS):
            if balance != self._balances.get(account, 0):
                self._say(
                    f"account {account}: {balance}, its rows add up to {self._balances.get(account, 0)}"
                )
            if held != holds:
                self._say(f"account {account}: {held} held, its holds add up to {holds}")
        for subject, meter in tx.all(_METERS):
            self._say(f"{subject}: its meter {'runs' if meter else 'stands'}")
        for row in tx.all(_STATES):
            before = self._states.get(row[0])
            if before != row:
                self._states[row[0]] = row
                if before is not None and row[1] <= before[1] and before[2:] != row[2:]:
                    self._say(f"{row[0]}: {before[1:]} became {row[1:]}, and no event says so")

    def look_at_units(self, tx: Tx, verb: str) -> None:
        """Between two listings what is free and what is claimed of an offer add up to the same."""
        units: dict[str, int] = dict(tx.all(_UNITS))
        if verb != _LISTS:
            for offer, count in units.items():
                if count != self._units.get(offer, count):
                    self._say(f"offer {offer}: {verb} made {count} units of {self._units[offer]}")
        self._units = units

    def _read_entries(self, entries: list[Row]) -> None:
        for seq, account, subject, tick, code, amount, after, is_final in entries:
            self._seq = seq
            balance = self._balances.get(account, 0) + amount
            self._balances[account] = balance
            if after != balance:
                self._say(f"row {seq} of {account}: {amount} makes {balance}, and it says {after}")
            reason = (account, subject, tick, code)
            if reason in self._reasons:
                self._say(f"row {seq}: a second row for {reason}")
            self._reasons.add(reason)
            if tick > 0 and code in {"usage", "refund"} and subject in self._ended:
                self._say(f"row {seq}: {code} of {subject} after its last row")
            if is_final and code in {"usage", "refund"}:
                self._ended.add(subject)

    def _say(self, sentence: str) -> None:
        if sentence not in self.problems:
            self.problems.append(sentence)


class Watched:
    """A database with a witness. `is_in_turn` says that no two verbs are under way at once."""

    def __init__(self, db: Database, clock: Turnable, *, is_in_turn: bool) -> None:
        self.witness = Witness()
        self._is_in_turn = is_in_turn
        self._db = db
        self._clock = clock
        self._changes = -1

    @property
    def on_signal(self) -> Callable[[str], None]:
        return self._db.on_signal

    @on_signal.setter
    def on_signal(self, listener: Callable[[str], None]) -> None:
        self._db.on_signal = listener

    @property
    def is_shared(self) -> bool:
        return self._db.is_shared

    async def write(self, verb: Callable[Concatenate[Tx, P], R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        answer = await self._db.write(verb, *args, **kwargs)
        self._look(_name(verb, args))
        return answer

    async def read(self, verb: Callable[Concatenate[Tx, P], R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await self._db.read(verb, *args, **kwargs)

    def write_now(self, verb: Callable[Concatenate[Tx, P], R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        answer = self._db.write_now(verb, *args, **kwargs)
        self._look(_name(verb, args))
        return answer

    def read_now(self, verb: Callable[Concatenate[Tx, P], R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._db.read_now(verb, *args, **kwargs)

    def readings(self) -> Sequence[Reading]:
        return self._db.readings()

    def close(self) -> None:
        """The real one belongs to the test."""

    def _look(self, verb: str) -> None:
        self.witness.instants.add(self._clock.now())
        if isinstance(self._db, StraightSqlite):
            if self._db.changes() == self._changes:
                return  # half of all verbs find nothing to do
            self._changes = self._db.changes()
        self._db.read_now(self.witness.look)
        if self._is_in_turn:
            self._db.read_now(self.witness.look_at_units, verb)


def _name(verb: object, args: Sequence[object]) -> str:
    """What a verb is called, also one that is run while a lease is held."""
    return getattr(args[1] if verb is under else verb, "__name__", "")
