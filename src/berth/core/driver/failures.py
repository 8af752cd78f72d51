"""How a provider may fail, each kind named for what the caller does next."""


class DriverError(Exception):
    """A provider did not do what was asked. `str(error)` is for the operator's log.

    `reason` is a sentence that the customer may read; it names no provider internals.
    """

    def __init__(self, message: str, *, reason: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason


class NoCapacity(DriverError):
    """Nothing was created and this offer has nothing left: try another offer."""


class RateLimited(DriverError):
    """Nothing happened: wait `retry_after_s` seconds, then try again."""

    def __init__(self, message: str, *, retry_after_s: float, reason: str | None = None) -> None:
        super().__init__(message, reason=reason)
        self.retry_after_s = retry_after_s


class Unreachable(DriverError):
    """Nothing happened, the request never took effect: try again."""


class OutcomeUnknown(DriverError):
    """It may have happened: look for our label before trying again. A timeout on create is this."""


class BadCredentials(DriverError):
    """The provider does not accept our account: an operator must act; nothing is known to be gone."""


class Refused(DriverError):
    """Nothing happened and the same request will be refused again."""


class NotSupported(DriverError):
    """This driver cannot do that; its `abilities` said so."""
