"""Why a session cannot be had, in the shapes that this API's clients look for."""

from berth.core.errors import Conflict, InsufficientCredits, Invalid, NoCapacity, Refusal, UpstreamUnavailable
from berth.core.sessions import Failure, Session
from berth.faces.shopper import words

STALE = "stale_inventory"
_STALE_ERROR = "offer unavailable due to stale inventory"
_STALE_MESSAGE = (
    "The selected offer is no longer available. Please refresh inventory and select a different offer."
)
_TYPES = {
    Failure.AUTH_FAILED: "ssh_timeout",
    Failure.INSTANCE_VANISHED: "instance_stopped",
}
"""What this API has no word of its own for."""


def told(refusal: Refusal) -> Refusal:
    """A refusal of the order, with the members that this API has for its kind."""
    details = {name: value for name, value in refusal.details.items() if name != "field"}
    match refusal:
        case NoCapacity():
            return stale(str(details.get("offer_id", "")), str(details.get("provider", "")))
        case Invalid(code="insufficient_disk"):
            return Invalid(refusal.code, refusal.message, error_type="insufficient_disk", **details)
        case Conflict(details={"session_id": str(twin_id)}):
            return Conflict(refusal.code, f"{refusal.message}: {words.session_id(twin_id)}")
        case InsufficientCredits():
            return InsufficientCredits(
                refusal.code, refusal.message, error_type="insufficient_credit", retry_suggested=False
            )
        case _:
            return refusal


def failed(made: Session, offer_id: str) -> Refusal:
    """Why a session that was accepted came to nothing at its provider."""
    failure = made.failure or Failure.PROVISION_FAILED
    if failure is Failure.STALE_INVENTORY:
        return stale(offer_id, made.instance.provider)
    return UpstreamUnavailable(
        "session_failed",
        made.error or "The provider could not create the session.",
        error_type=_TYPES.get(failure, failure.value),
        retry_suggested=failure.is_worth_a_retry,
        session_id=words.session_id(made.id),
    )


def stale(offer_id: str, provider: str) -> NoCapacity:
    return NoCapacity(
        STALE,
        _STALE_ERROR,
        error_type=STALE,
        offer_id=offer_id,
        provider=provider,
        retry_suggested=True,
        explanation=_STALE_MESSAGE,
    )
