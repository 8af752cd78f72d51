"""The verbs of whoever has sessions: look, end, extend, and what their agents say."""

from collections.abc import Sequence

from berth.base.db import Tx
from berth.base.money import Micros
from berth.core import billing
from berth.core.billing import Rules as MoneyRules
from berth.core.events import Actor
from berth.core.sessions.model import Rules, Session, Status

LISTED_MOST = 1000


def get(tx: Tx, by: Actor, session_id: str) -> Session:
    """Raises NotFound, also for another project's and for an instance that is no session."""
    raise NotImplementedError


def find(tx: Tx, session_id: str) -> Session | None:
    """Whoever's it is. For loops only."""
    raise NotImplementedError


def list_page(
    tx: Tx,
    by: Actor,
    *,
    consumer_id: str | None = None,
    status: Status | None = None,
    provider: str | None = None,
    limit: int = LISTED_MOST,
) -> Sequence[Session]:
    """Newest first, ended ones included."""
    raise NotImplementedError


def cost(tx: Tx, session: Session) -> Micros:
    """What it has cost so far, live to the second."""
    return billing.bill(tx, session.id).total


def done(tx: Tx, by: Actor, session_id: str, money: MoneyRules) -> Session:
    """Its work is complete: it ends as its storage policy says. Raises NotFound, and Conflict when it has ended.

    Said again while it is ending, nothing changes.
    """
    raise NotImplementedError


def destroy(tx: Tx, by: Actor, session_id: str, money: MoneyRules) -> Session:
    """It ends at once, and its disk with it. One that is ending or has ended is left as it is, but for a kept disk,
    which ends now. Raises NotFound.
    """
    raise NotImplementedError


def extend(tx: Tx, by: Actor, session_id: str, additional_hours: int, rules: Rules) -> Session:
    """Its reservation ends so many hours later.

    Raises NotFound, Conflict when it has ended or is ending, Invalid for hours that are not 1 to 12, or past the maximum.
    """
    raise NotImplementedError


def heartbeat(
    tx: Tx, by: Actor, session_id: str, *, token: str, idle_s: int, pepper: bytes, money: MoneyRules
) -> Session:
    """Its agent says since when nothing happens there; at its threshold that ends it.

    Raises NotFound, and Unauthenticated `wrong_agent_token`.
    """
    raise NotImplementedError
