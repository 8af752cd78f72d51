"""The verb that begins a session: one offer is taken, as it is listed, or the session is refused."""

from berth.base.db import Tx
from berth.core.billing import Rules as MoneyRules
from berth.core.driver import ProviderTemplate
from berth.core.events import Actor
from berth.core.sessions.model import Opened, Rules, SessionSpec


def open_session(
    tx: Tx,
    by: Actor,
    spec: SessionSpec,
    rules: Rules,
    money: MoneyRules,
    *,
    public_key: str,
    pepper: bytes,
    template: ProviderTemplate | None = None,
) -> Opened:
    """Accepts a session. `public_key` is the public half of a pair that was made before, off the event loop.

    `template` is the provider's template of `spec.template_hash_id`, which the caller has looked up.
    Raises, in this order: Invalid `invalid_fields` (`problems`: every sentence, as in its message), NotFound
    `offer_not_found`, Conflict `duplicate_session`, Invalid `insufficient_disk` (details `requested_gb`, `minimum_gb`,
    `recommended_gb`, `breakdown`: the members of a `DiskEstimate` that are known), Invalid `not_supported` for what the
    provider cannot do, InsufficientCredits, NoCapacity `stale_inventory` (details `offer_id`, `provider`).
    """
    raise NotImplementedError
