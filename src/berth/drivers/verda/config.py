"""What an operator decides about an account at Verda; read from settings by the parts list and passed in."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class VerdaConfig:
    """One account."""

    base_url: str
    """With `/v1` and without a slash at its end."""
    client_id: str
    client_secret: str = field(repr=False)
    units: int = 4
    """How many of a type are offered where the provider says no more than that there are some."""
    low_balance_micros: int = 50_000_000
    """Below which the account's balance is worth a warning: at zero the provider ends everything."""
    timeout_s: float = 20.0
    """For one call, connecting included."""
    settle_s: float = 40.0
    """How long a stop waits for a machine to go down before its hardware is given back."""
