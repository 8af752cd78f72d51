"""Statements of what failed with which offer, and which offers are set aside for it."""

from berth.base import ids
from berth.base.clock import Instant
from berth.base.db import Tx
from berth.core.catalog.model import FailureKind, OfferFailure

_LIMIT = 20_000


def insert_failure(tx: Tx, failure: OfferFailure) -> None:
    tx.run(
        "INSERT INTO offer_failures (id, offer_id, provider, gpu_type, kind, reason, failed_at)"
        " VALUES (:id, :offer_id, :provider, :gpu_type, :kind, :reason, :failed_at)",
        id=ids.new(tx.now),
        offer_id=failure.offer_id,
        provider=failure.provider,
        gpu_type=failure.gpu_type,
        kind=failure.kind.value,
        reason=failure.reason,
        failed_at=failure.failed_at,
    )


def count_failures(tx: Tx, offer_id: str, *, since: Instant) -> int:
    row = tx.one(
        "SELECT COUNT(*) FROM offer_failures WHERE offer_id = :offer_id AND failed_at > :since",
        offer_id=offer_id,
        since=since,
    )
    return 0 if row is None else row[0]


def failures_since(tx: Tx, since: Instant) -> list[OfferFailure]:
    """Oldest first; of too many, the newest."""
    rows = tx.all(
        "SELECT offer_id, provider, gpu_type, kind, reason, failed_at FROM offer_failures WHERE failed_at > :since"
        f" ORDER BY failed_at DESC, id DESC LIMIT {_LIMIT}",
        since=since,
    )
    return [OfferFailure(*(*row[:3], FailureKind(row[3]), *row[4:])) for row in reversed(rows)]


def suppress_for_failures(tx: Tx, offer_id: str, until: Instant) -> None:
    """Since when stays, while it is set aside again before it came back."""
    tx.run(
        "INSERT INTO offer_suppressions (offer_id, suppressed_at, suppressed_until)"
        " VALUES (:offer_id, :now, :until) ON CONFLICT (offer_id) DO UPDATE SET"
        " suppressed_at = CASE WHEN offer_suppressions.suppressed_until > :now"
        " THEN offer_suppressions.suppressed_at ELSE excluded.suppressed_at END,"
        " suppressed_until = excluded.suppressed_until",
        offer_id=offer_id,
        now=tx.now,
        until=until,
    )


def suppressions(tx: Tx) -> dict[str, tuple[Instant, Instant]]:
    """Since when and until when, of each offer that is set aside now."""
    rows = tx.all(
        "SELECT offer_id, suppressed_at, suppressed_until FROM offer_suppressions WHERE suppressed_until > :now"
        f" ORDER BY offer_id LIMIT {_LIMIT}",
        now=tx.now,
    )
    return {row[0]: (row[1], row[2]) for row in rows}


def shopper_ids(tx: Tx, offer_ids: list[str]) -> dict[str, str]:
    """`<provider>-<provider_offer_id>` of each, in a statement for each: only for the few that failed."""
    found = {}
    for offer_id in offer_ids:
        row = tx.one("SELECT provider, provider_offer_id FROM offers WHERE id = :id", id=offer_id)
        if row is not None:
            found[offer_id] = f"{row[0]}-{row[1]}"
    return found


def forget_failures(tx: Tx, before: Instant, *, limit: int) -> int:
    tx.run("DELETE FROM offer_suppressions WHERE suppressed_until < :before", before=before)
    return tx.run(
        "DELETE FROM offer_failures WHERE id IN"
        " (SELECT id FROM offer_failures WHERE failed_at < :before ORDER BY failed_at LIMIT :limit)",
        before=before,
        limit=limit,
    )
