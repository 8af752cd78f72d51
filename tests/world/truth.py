"""What must hold of the database and the providers together, whatever happened before.

`problems` answers sentences: empty is right. `at_rest` says whether faults have ended and everything was given
time to settle; before that only what holds at every commit is asked for.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from berth.base.clock import SECOND, Instant
from berth.base.db import Database, Row, Tx
from berth.core import ledger
from berth.core.billing import rates
from berth.core.driver import Power
from tests.world.parts import Machine
from tests.world.provider import Provider


@dataclass(frozen=True)
class Line:
    """A row of instances, as far as it is judged."""

    id: str
    project: str
    provider: str
    offer_id: str
    price: int
    status: str
    wanted: str
    handle: str | None
    first_running_at: Instant | None
    reason: str | None
    is_reserved: int
    is_session: int


def problems(db: Database, providers: Sequence[Provider], *, at_rest: bool) -> list[str]:
    found = list(db.read_now(ledger.verify))
    lines = [Line(*row) for row in rows(db, _LINES)]
    for line in lines:
        found += [f"{line.id} ({line.status}): {sentence}" for sentence in _money(db, line)]
    found += _counts(db)
    found += _chains(db)
    found += [sentence for provider in providers for sentence in _units(db, provider, at_rest=at_rest)]
    if at_rest:
        for line in lines:
            found += [f"{line.id} ({line.status}): {sentence}" for sentence in _at_rest(db, line, providers)]
        for provider in providers:
            found += _strays(provider, lines)
    return found


_PAID = {"", "expired", "max_spend_reached", "idle", "insufficient_credits", "budget_reached"}
"""Why something was deleted that had not failed."""
_LINES = (
    "SELECT id, project_id, provider, offer_id, price_micros_per_hour, status, wanted, handle, first_running_at,"
    " status_reason, is_reserved, is_session FROM instances ORDER BY id"
)


def rows(db: Database, statement: str, **values: object) -> list[Row]:
    def read(tx: Tx) -> list[Row]:
        return tx.all(statement, **values)

    return db.read_now(read)


def charged(db: Database, subject: str) -> int:
    """What a subject has paid, in micro-dollars."""
    found = rows(
        db,
        "SELECT CAST(COALESCE(SUM(amount_micros), 0) AS BIGINT) FROM entries WHERE subject = :subject",
        subject=subject,
    )
    return -int(found[0][0])


def debited(db: Database, subject: str) -> int:
    """What a subject was charged; what was taken back of it by hand stays charged."""
    found = rows(
        db,
        "SELECT CAST(COALESCE(SUM(amount_micros), 0) AS BIGINT) FROM entries WHERE subject = :subject AND tick > 0",
        subject=subject,
    )
    return -int(found[0][0])


def held(db: Database, subject: str) -> int:
    found = rows(db, "SELECT amount_micros FROM holds WHERE subject = :subject", subject=subject)
    return int(found[0][0]) if found else 0


def free_units(db: Database) -> dict[str, int]:
    """What we would sell, by the offer's name at its provider."""
    return dict(rows(db, "SELECT provider_offer_id, free_units FROM offers"))


def event_types(db: Database, subject: str) -> list[str]:
    return [
        row[0]
        for row in rows(
            db, "SELECT type FROM events WHERE subject = :subject ORDER BY sequence", subject=subject
        )
    ]


def stretches(db: Database, subject: str) -> list[tuple[Instant, Instant | None]]:
    """When a subject was billed."""
    return [
        (Instant(start), end if end is None else Instant(end))
        for start, end in rows(
            db,
            "SELECT started_at, ended_at FROM segments WHERE subject = :subject ORDER BY number",
            subject=subject,
        )
    ]


def _money(db: Database, line: Line) -> Iterator[str]:
    """No second twice, none lost: what was charged is the total of the seconds, and the minimum where one is due."""
    billed = stretches(db, line.id)
    for (_, end), (start, _) in pairwise(billed):
        if end is None or end > start:
            yield "stretches of billed time overlap"
    paid = debited(db, line.id)
    seconds = sum((end - start) // SECOND for start, end in billed if end is not None)
    if any(end is None for _, end in billed):
        ticks_s = _swept_s(db, billed[-1][0])
        if paid != rates.total(line.price, seconds + ticks_s):
            yield f"charged {paid} while it runs, {rates.total(line.price, seconds + ticks_s)} fell due"
        return
    allowed: set[int] = {rates.total(line.price, seconds)}
    if line.status in {"deleting", "deleted"} and (line.reason or "").partition(":")[0] in _PAID:
        least_s = 0 if line.is_session else rates.MINIMUM_S  # sessions pay to the second
        with_minimum = rates.total(line.price, max(seconds, least_s))
        # Deleted before it ran, it costs the minimum or nothing, as something had been made for it or not.
        allowed = {with_minimum} if line.first_running_at is not None else {0, with_minimum}
        if "instance.unreachable" in event_types(db, line.id):
            # Deleted while its provider had lost sight of it, it pays for what it was seen to run.
            allowed.add(rates.total(line.price, seconds))
    if paid not in allowed:
        yield f"charged {paid} for {seconds} s, which cost {sorted(allowed)}"


def _swept_s(db: Database, started_at: Instant) -> int:
    """The seconds of a stretch that runs that the last sweep has charged."""
    found = rows(db, "SELECT swept_at FROM sweeps WHERE name = 'ticks'")
    swept_at = found[0][0] if found else 0
    return int(max(0, swept_at - started_at) // SECOND // rates.TICK_S * rates.TICK_S)


def _counts(db: Database) -> Iterator[str]:
    counted = rows(db, "SELECT project_id, status, count FROM instance_counts WHERE count <> 0 ORDER BY 1, 2")
    real = rows(
        db,
        "SELECT project_id, status, COUNT(*) FROM instances WHERE cluster_id IS NULL GROUP BY 1, 2 ORDER BY 1, 2",
    )
    if counted != real:
        yield f"counts say {counted}, there are {real}"


def _chains(db: Database) -> Iterator[str]:
    """Each row's balance is the one before and its amount."""
    before: dict[str, int] = {}
    for account, amount, after in rows(
        db, "SELECT account_id, amount_micros, balance_after_micros FROM entries ORDER BY seq"
    ):
        if before.get(account, 0) + amount != after:
            yield f"account {account}: {before.get(account, 0)} and {amount} make {after}"
        before[account] = after


def _units(db: Database, provider: Provider, *, at_rest: bool) -> Iterator[str]:
    for offer_id, name, free in rows(
        db,
        "SELECT id, provider_offer_id, free_units FROM offers WHERE provider = :provider",
        provider=provider.name,
    ):
        if free < 0:
            yield f"{name}: {free} units are free"
        claims = [
            row[0]
            for row in rows(
                db,
                "SELECT CASE WHEN i.is_reserved = 1 THEN 'kept' ELSE i.status END FROM claims c JOIN instances i ON i.id = c.subject WHERE c.offer_id = :offer",
                offer=offer_id,
            )
        ]
        idle = {"deleted", "offline"}
        if at_rest and idle.intersection(claims):
            yield f"{name}: a unit is kept for what is {sorted(idle.intersection(claims))}"
        # What came back by itself may be more than there is room for.
        really_free = max(0, provider.free(name))
        if at_rest and free != really_free:
            yield f"{name}: we say {free} units are free, the provider {really_free}"


def _at_rest(db: Database, line: Line, providers: Sequence[Provider]) -> Iterator[str]:
    machines = [each for provider in providers for each in provider.of(line.id)]
    if len(machines) > 1:
        yield f"{len(machines)} machines for one order"
    is_kept = line.status in {"running", "offline"}
    if is_kept and [machine.handle for machine in machines] != [line.handle]:
        yield f"its handle is {line.handle}, the provider has {[machine.handle for machine in machines]}"
    if is_kept and line.wanted != line.status:
        yield f"{line.wanted} is wanted"
    if line.status not in {"running", "offline", "error", "failed_no_capacity", "deleted"}:
        yield "it has not settled"
    is_on = [machine for machine in machines if machine.power is Power.RUNNING]
    if (line.status == "running") != bool(is_on):
        yield f"the provider has {[machine.power for machine in machines]}"
    is_charging = any(end is None for _, end in stretches(db, line.id))
    is_kept = line.status == "offline" and bool(line.is_reserved)
    if is_charging != (line.status == "running" or is_kept):
        yield f"its clock {'runs' if is_charging else 'stands'}"
    if held(db, line.id) and line.status in {"error", "failed_no_capacity", "deleted"}:
        yield "money is still held for it"


def _strays(provider: Provider, lines: Sequence[Line]) -> Iterator[str]:
    accounted = {line.handle for line in lines if line.status in {"running", "offline"}}
    for machine in provider.alive():
        if _is_ours(machine, lines) and machine.handle not in accounted:
            yield f"{machine.handle} ({machine.power}) is there and no row accounts for it"


def _is_ours(machine: Machine, lines: Sequence[Line]) -> bool:
    return machine.label is not None and any(line.id == machine.label.instance_id for line in lines)


def event_data(db: Database, subject: str, event: str) -> list[dict[str, object]]:
    return [
        json.loads(row[0])
        for row in rows(
            db,
            "SELECT data FROM events WHERE subject = :subject AND type = :event ORDER BY sequence",
            subject=subject,
            event=event,
        )
    ]
