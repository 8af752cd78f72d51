"""Refusals that come from speaking HTTP at all; core's own kinds say the rest."""

from collections.abc import Sequence

from berth.core.errors import Invalid, NotFound, Refusal


class RouteNotFound(NotFound):
    """No route has this path."""


class MethodNotAllowed(Refusal):
    """The path exists and takes other methods, which `details["allow"]` names."""

    def __init__(self, method: str, allow: Sequence[str]) -> None:
        listed = ", ".join(allow)
        super().__init__(
            "method_not_allowed", f"{method} is not allowed here; allowed: {listed}.", allow=list(allow)
        )


class BodyTooLarge(Invalid):
    """The body is longer than is read."""

    def __init__(self, limit: int) -> None:
        super().__init__("body_too_large", f"The body is larger than {limit} bytes.", limit_bytes=limit)


class UnsupportedMediaType(Invalid):
    """There is a body and it is declared to be something else than JSON."""


class Crashed(Refusal):
    """A bug of ours; the log has the rest."""

    def __init__(self) -> None:
        super().__init__("internal", "Internal server error. Retrying with an Idempotency-Key is safe.")
