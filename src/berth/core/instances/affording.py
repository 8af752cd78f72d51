"""Whether what runs may cost that much more in an hour."""

from berth.base.db import Tx
from berth.base.money import Micros
from berth.core import billing
from berth.core.instances import store


def check_hourly(tx: Tx, project: str, added: Micros) -> None:
    """Raises InsufficientCredits when `added` would take the project above its limit for an hour.

    Counted is what burns and what was accepted and will: of two that both just fit, one gets in.
    """
    if billing.lock_hourly(tx, project) is not None:
        foresee_hourly(tx, project, added)


def foresee_hourly(tx: Tx, project: str, added: Micros) -> None:
    """As `check_hourly`, as things are now: others may add to it meanwhile."""
    billing.check_hourly(tx, project, added=added, pending=Micros(store.pending_price(tx, project)))
