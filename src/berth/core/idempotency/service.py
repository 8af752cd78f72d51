"""The verbs of idempotency.

The record is written in the transaction of the work it answers for, so there is no state between: either both
are there and a retry gets the same answer, or neither is and a retry does the work. Refusals are not kept: who is
refused for lack of credit tops up and tries again with the same key.
"""

from dataclasses import dataclass

from berth.base.clock import DAY, Instant
from berth.base.db import Tx
from berth.core.errors import Conflict
from berth.core.events import Actor
from berth.core.idempotency import store

RETENTION = DAY
BODY_LIMIT = 64 * 1024
_BATCH = 500


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: str


def find(tx: Tx, by: Actor, key: str, fingerprint: str) -> Answer | None:
    """The answer given before, or None. Raises Conflict when the key was used for another request."""
    row = store.find(tx, by.project, by.lineage, key)
    if row is None:
        return None
    if row[0] != fingerprint:
        raise Conflict(
            "idempotency_key_reused", "This Idempotency-Key was used before with a different request."
        )
    return Answer(row[1], row[2])


def remember(tx: Tx, by: Actor, key: str, fingerprint: str, answer: Answer) -> None:
    """Keeps `answer` for 24 hours. Raises Conflict if another request under the key got there first."""
    if len(answer.body) > BODY_LIMIT:
        raise AssertionError("an answer that may be replayed is larger than any answer should be")
    if not store.upsert(
        tx,
        by.project,
        by.lineage,
        key,
        fingerprint=fingerprint,
        status=answer.status,
        body=answer.body,
        expires_at=Instant(tx.now + RETENTION),
    ):
        raise Conflict(
            "idempotency_in_flight",
            "A request with this Idempotency-Key is being processed.",
            retry_after_s=1,
        )


def amend(tx: Tx, by: Actor, key: str, fingerprint: str, answer: Answer) -> None:
    """Keeps another answer to the request that `remember` was called for, whose rest came after its commit."""
    store.amend(
        tx, by.project, by.lineage, key, fingerprint=fingerprint, status=answer.status, body=answer.body
    )


def forget_expired(tx: Tx) -> int:
    """Deletes a batch of records past their time; returns how many."""
    return store.delete_expired(tx, limit=_BATCH)
