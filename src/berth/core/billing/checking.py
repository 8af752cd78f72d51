"""When the books were looked through last: once a day, by whichever process comes first."""

from berth.base.clock import DAY
from berth.base.db import Tx
from berth.core.billing import store

_CHECK = "books"


def is_check_due(tx: Tx) -> bool:
    """Whether a day has passed since `checked`, or the clock was turned back since."""
    return not 0 <= tx.now - store.read_swept_at(tx, _CHECK) < DAY


def checked(tx: Tx) -> None:
    """The books were looked through now."""
    store.set_swept_at(tx, _CHECK, tx.now)
