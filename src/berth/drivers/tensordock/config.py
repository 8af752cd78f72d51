"""What an operator decides about an organisation at TensorDock; read from settings by the parts list and passed in."""

from dataclasses import dataclass, field

DEFAULT_IMAGE = "ubuntu2404_ml_everything"


@dataclass(frozen=True, slots=True)
class TensorDockConfig:
    """One organisation."""

    base_url: str
    """With `/api/v2` and without a slash at its end."""
    api_token: str = field(repr=False)
    default_image: str = DEFAULT_IMAGE
    """What is booted when nobody chooses; the plain Ubuntu images have no GPU driver."""
    timeout_s: float = 75.0
    """For one call, connecting included: some take a minute."""
