"""The verbs for the loop that sends: taking what is due, and saying what became of it.

Every result is applied only while the lease is still the taker's. A crash between the mail server's answer and
ours sends an e-mail again, with the same id, rather than never.
"""

from collections.abc import Sequence

from berth.base.clock import DAY, Instant, after
from berth.base.db import Tx
from berth.core.notices import addresses, store
from berth.core.notices.model import MAX_ATTEMPTS, Notice, Status

KEPT_DAYS = 90
_FIRST_PAUSE_S = 30
_PAUSE_FACTOR = 4
_LONGEST_PAUSE_S = 6 * 3600
_FORGET_LIMIT = 1000
_ERROR_LIMIT = 300


def lease_due(tx: Tx, *, limit: int, seconds: int) -> Sequence[Notice]:
    """Takes up to `limit` e-mails that are to be sent, for `seconds` at most. Counts as an attempt."""
    return store.lease_due(tx, until=after(tx.now, seconds=seconds), limit=limit)


def next_due(tx: Tx) -> Instant | None:
    """When the next e-mail is due; None when all are settled."""
    return store.next_due(tx)


def delivered(tx: Tx, notice: Notice) -> bool:
    """The mail server took it. False when the lease was lost meanwhile."""
    return store.finish(tx, notice, Status.SENT, error=None)


def failed(tx: Tx, notice: Notice, error: str, *, is_final: bool) -> bool:
    """It was not taken: tried again later, unless that would be the same or was done too often."""
    shown = addresses.one_line(error, limit=_ERROR_LIMIT)
    if is_final or notice.attempt >= MAX_ATTEMPTS:
        return store.finish(tx, notice, Status.FAILED, error=shown)
    due_at = after(tx.now, seconds=pause_s(notice.attempt))
    return store.postpone(tx, notice, due_at=due_at, attempt=notice.attempt, error=shown)


def put_back(tx: Tx, notice: Notice) -> bool:
    """It was taken and not tried: another time, and no attempt."""
    due_at = after(tx.now, seconds=_FIRST_PAUSE_S)
    return store.postpone(tx, notice, due_at=due_at, attempt=notice.attempt - 1, error=notice.error)


def renew_leases(tx: Tx, held: Sequence[Notice], *, seconds: int) -> bool:
    """Keeps all of them for `seconds` from now; False when one is no longer ours."""
    until = after(tx.now, seconds=seconds)
    renewed = [store.renew_lease(tx, notice, until=until) for notice in held]
    return all(renewed)


def give_back(tx: Tx, held: Sequence[Notice]) -> None:
    """Lets others take them at once. What was lost stays as it is."""
    for notice in held:
        store.give_back(tx, notice)


def skip_due(tx: Tx, *, limit: int) -> int:
    """Gives up what is due because no mail server is set up: told late, most of it would mislead."""
    return store.skip_due(tx, limit=limit)


def release_leases(tx: Tx) -> None:
    """Takes every row back from whoever held it. Only for a process that knows that it is alone, when it starts."""
    store.release_leases(tx)


def forget_old(tx: Tx) -> int:
    """Removes what was settled long ago."""
    return store.forget(tx, before=Instant(tx.now - KEPT_DAYS * DAY), limit=_FORGET_LIMIT)


def pause_s(attempt: int) -> int:
    """How long to wait after the `attempt`-th attempt, 1 being the first."""
    return int(min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * _PAUSE_FACTOR ** (attempt - 1)))
