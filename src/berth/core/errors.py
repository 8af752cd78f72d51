"""How core refuses: a kind, a stable code and a sentence that a customer may read.

There is no HTTP here. Each face has one table from kind to status and body.
"""

from collections.abc import Mapping


class Refusal(Exception):
    """The request was understood and is refused; nothing was changed.

    `code` is stable snake_case, `message` a sentence for the customer, `details` plain JSON values.
    """

    def __init__(self, code: str, message: str, **details: object) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details: Mapping[str, object] = details


class Invalid(Refusal):
    """The request itself is wrong and will be as wrong next time."""


class Unauthenticated(Refusal):
    """We do not know who is asking."""


class InsufficientCredits(Refusal):
    """The balance does not allow it."""


class Forbidden(Refusal):
    """We know who is asking; they may not."""


class NotFound(Refusal):
    """No such thing, or it belongs to somebody else: the answer is the same."""


class Conflict(Refusal):
    """The thing is in a state that does not allow it."""


class NoCapacity(Refusal):
    """What was asked for exists and is sold out."""


class RateLimited(Refusal):
    """Too many requests; `details["retry_after_s"]` says when to try again."""


class UpstreamUnavailable(Refusal):
    """A provider does not answer."""


class Unavailable(Refusal):
    """We are starting, draining or in maintenance."""
