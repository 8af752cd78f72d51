"""Statements over what ends or changes instances from outside: long terms and evictions. Most have no row here."""

from berth.base.clock import Instant
from berth.base.db import Row, Tx
from berth.base.money import Micros
from berth.core.instances.model import Eviction, Extension, Term

_TERM = (
    "instance_id, period, period_name, unit_name, unit_value, discount_percentage, extension,"
    " list_price_micros_per_hour, ordered_at, number, started_at, ends_at"
)


def _term(row: Row) -> Term:
    return Term(*(*row[:6], Extension(row[6]), Micros(row[7]), *row[8:]))


def insert_term(tx: Tx, term: Term) -> None:
    tx.run(
        f"INSERT INTO terms ({_TERM}, due_at) VALUES (:id, :period, :period_name, :unit_name, :unit_value,"
        " :discount, :extension, :list_price, :ordered_at, :number, :started_at, :ends_at, :ends_at)",
        id=term.instance_id,
        period=term.period,
        period_name=term.period_name,
        unit_name=term.unit_name,
        unit_value=term.unit_value,
        discount=term.discount_percentage,
        extension=term.extension.value,
        list_price=term.list_price,
        ordered_at=term.ordered_at,
        number=term.number,
        started_at=term.started_at,
        ends_at=term.ends_at,
    )


def find_term(tx: Tx, instance_id: str) -> Term | None:
    row = tx.one(f"SELECT {_TERM} FROM terms WHERE instance_id = :id", id=instance_id)
    return None if row is None else _term(row)


def renew_term(tx: Tx, instance_id: str, *, number: int, started_at: Instant, ends_at: Instant) -> None:
    tx.run(
        "UPDATE terms SET number = :number, started_at = :started_at, ends_at = :ends_at, due_at = :ends_at"
        " WHERE instance_id = :id",
        id=instance_id,
        number=number,
        started_at=started_at,
        ends_at=ends_at,
    )


def plan_term(tx: Tx, instance_id: str, due_at: Instant | None) -> None:
    tx.run("UPDATE terms SET due_at = :due_at WHERE instance_id = :id", id=instance_id, due_at=due_at)


def due_terms(tx: Tx, *, limit: int) -> list[str]:
    rows = tx.all(
        "SELECT instance_id FROM terms WHERE due_at <= :now ORDER BY due_at LIMIT :limit",
        now=tx.now,
        limit=limit,
    )
    return [row[0] for row in rows]


def put_eviction(tx: Tx, eviction: Eviction) -> None:
    """Replaces one that was announced."""
    tx.run(
        "INSERT INTO evictions (instance_id, evicts_at, sentence, due_at) VALUES (:id, :at, :sentence, :at)"
        " ON CONFLICT (instance_id) DO UPDATE SET evicts_at = excluded.evicts_at,"
        " sentence = excluded.sentence, due_at = excluded.due_at",
        id=eviction.instance_id,
        at=eviction.evicts_at,
        sentence=eviction.sentence,
    )


def find_eviction(tx: Tx, instance_id: str) -> Eviction | None:
    row = tx.one(
        "SELECT instance_id, evicts_at, sentence FROM evictions WHERE instance_id = :id", id=instance_id
    )
    return None if row is None else Eviction(*row)


def end_eviction(tx: Tx, instance_id: str) -> None:
    """Nothing is left to do about it."""
    tx.run("UPDATE evictions SET due_at = NULL WHERE instance_id = :id", id=instance_id)


def due_evictions(tx: Tx, *, limit: int) -> list[str]:
    rows = tx.all(
        "SELECT instance_id FROM evictions WHERE due_at <= :now ORDER BY due_at LIMIT :limit",
        now=tx.now,
        limit=limit,
    )
    return [row[0] for row in rows]


def next_outside(tx: Tx) -> Instant | None:
    """When the next term ends or the next eviction is due."""
    row = tx.one(
        "SELECT MIN(due_at) FROM (SELECT MIN(due_at) AS due_at FROM terms WHERE due_at IS NOT NULL"
        " UNION ALL SELECT MIN(due_at) AS due_at FROM evictions WHERE due_at IS NOT NULL) AS both_of_them"
    )
    return None if row is None or row[0] is None else Instant(row[0])
