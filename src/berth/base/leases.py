"""Leases: at most one holder of a name at a time, over any number of processes, and for a time only.

A lease carries a token that grows with each new holder. Whoever acts under a lease checks, in the
transaction that applies the result, that the lease is still its own: a holder that was frozen past
its end then changes nothing.
"""

from dataclasses import dataclass

from berth.base.clock import Instant, after
from berth.base.db import Tx


@dataclass(frozen=True, slots=True)
class Lease:
    name: str
    holder: str
    token: int
    expires_at: Instant


def acquire(tx: Tx, name: str, *, holder: str, seconds: int) -> Lease | None:
    """Takes the lease, or extends one that `holder` has; None while somebody else has it."""
    expires_at = after(tx.now, seconds=seconds)
    row = tx.one(
        "INSERT INTO leases (name, holder, token, expires_at) VALUES (:name, :holder, 1, :expires_at)"
        " ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at,"
        " token = leases.token + CASE WHEN leases.holder = excluded.holder AND leases.expires_at > :now"
        " THEN 0 ELSE 1 END"
        " WHERE leases.holder = excluded.holder OR leases.expires_at <= :now RETURNING token",
        name=name,
        holder=holder,
        expires_at=expires_at,
        now=tx.now,
    )
    return None if row is None else Lease(name, holder, row[0], expires_at)


def is_held(tx: Tx, lease: Lease) -> bool:
    """Whether the lease is still this holder's; on PostgreSQL also keeps it so until the commit."""
    row = tx.one(
        "SELECT 1 FROM leases WHERE name = :name AND token = :token AND expires_at > :now" + tx.for_update,
        name=lease.name,
        token=lease.token,
        now=tx.now,
    )
    return row is not None


def release(tx: Tx, lease: Lease) -> None:
    """Lets others take it at once. Releasing a lost lease does nothing."""
    tx.run(
        "UPDATE leases SET expires_at = :now WHERE name = :name AND token = :token",
        name=lease.name,
        token=lease.token,
        now=tx.now,
    )


def release_all(tx: Tx) -> None:
    """Ends every lease. Only for a process that knows that it is alone, when it starts."""
    tx.run("UPDATE leases SET expires_at = :now WHERE expires_at > :now", now=tx.now)


def release_held_by(tx: Tx, holder: str) -> None:
    """Ends what `holder` has: for a process that ends."""
    tx.run(
        "UPDATE leases SET expires_at = :now WHERE holder = :holder AND expires_at > :now",
        holder=holder,
        now=tx.now,
    )


def renew_row(tx: Tx, table: str, id_: str, token: int, *, until: Instant) -> bool:
    """Extends the lease on a row that carries its own; False when it has ended or is another's.

    The table has `lease_token`, `lease_expires_at` and `due_at`. That stays: whoever looks for work passes by what is
    held, and the row may have become due meanwhile.
    """
    return (
        tx.run(
            f"UPDATE {table} SET lease_expires_at = :until"
            " WHERE id = :id AND lease_token = :token AND lease_expires_at > :now",
            id=id_,
            token=token,
            until=until,
            now=tx.now,
        )
        == 1
    )


def give_back_row(tx: Tx, table: str, id_: str, token: int) -> None:
    """Makes a row that is held due at once, for others. One that was lost stays as it is."""
    tx.run(
        f"UPDATE {table} SET lease_expires_at = 0, lease_token = lease_token + 1, due_at = :now"
        " WHERE id = :id AND lease_token = :token AND lease_expires_at > :now AND due_at IS NOT NULL",
        id=id_,
        token=token,
        now=tx.now,
    )
