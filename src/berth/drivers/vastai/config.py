"""What an operator decides about an account at Vast.ai; read from settings by the parts list and passed in."""

from dataclasses import dataclass, field
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class VastaiConfig:
    """One account."""

    base_url: str
    """Scheme, host and port, without a path and without a slash at its end."""
    api_key: str = field(repr=False)
    min_reliability: Decimal = Decimal("0.95")
    """What a host's reliability must be at least, 0 to 1, for its offers to be sold."""
    is_verified_only: bool = True
    """Whether only hosts are sold that Vast.ai has verified."""
    disk_gb: int = 50
    """How much disk the price of an offer covers, and what an instance gets whose order names none."""
    search_pages: int = 8
    """How many pages of offers one look at the market asks for; the next look goes on where it ended."""
    low_balance_micros: int = 5_000_000
    """Below which the account's credit is worth a warning: at zero the provider stops everything."""
    pace_permille: int = 1000
    """Thousandths of the published pauses between calls that are kept; 0, for a stand-in of the service, keeps none."""
    timeout_s: float = 30.0
    """For one call, connecting included."""
    longest_wait_s: float = 15.0
    """How long a call waits for its turn before it is given up as rate limited."""
