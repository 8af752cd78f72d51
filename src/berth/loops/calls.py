"""What every loop makes of a provider that does not do what it was asked: how long to wait."""

from berth.core.driver import RateLimited
from berth.loops.world import Patience

SENT_WITHIN_S = 10
"""How old the intent to create may be when the call goes out: others count from the intent how late it can act."""
_RATE_LIMIT_MOST_S = 300.0
_DOUBLINGS = 20


def pause_s(patience: Patience, attempt: int) -> float:
    """Before the next try: twice the pause before the last."""
    doublings = min(max(attempt - 1, 0), _DOUBLINGS)
    return min(patience.retry_first_s * (1 << doublings), patience.retry_most_s)


def wait_s(error: RateLimited) -> float:
    return min(max(error.retry_after_s, 0.0), _RATE_LIMIT_MOST_S)
