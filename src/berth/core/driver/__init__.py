"""The driver port: what Berth asks of every provider, and what a provider may answer.

A driver turns these verbs into one provider's calls and holds no truth of its own: whatever it
returns is what the provider says now. It raises nothing but the `DriverError` kinds below, each
named for what the caller does next; anything else is a bug and is not caught.
"""

from berth.core.driver.failures import (
    BadCredentials,
    DriverError,
    NoCapacity,
    NotSupported,
    OutcomeUnknown,
    RateLimited,
    Refused,
    Unreachable,
)
from berth.core.driver.making import (
    CreateOrder,
    Label,
    Launch,
    Listing,
    Mount,
    Power,
    Sighting,
    VolumeListing,
    VolumeOrder,
    VolumeSighting,
)
from berth.core.driver.port import Abilities, Driver, Telling, WithoutTemplates, WithoutVolumes
from berth.core.driver.selling import (
    Catalogue,
    Hardware,
    Market,
    Place,
    ProviderClusterType,
    ProviderImage,
    ProviderOffer,
    ProviderTemplate,
    ProviderVolumeType,
)

__all__ = [
    "Abilities",
    "BadCredentials",
    "Catalogue",
    "CreateOrder",
    "Driver",
    "DriverError",
    "Hardware",
    "Label",
    "Launch",
    "Listing",
    "Market",
    "Mount",
    "NoCapacity",
    "NotSupported",
    "OutcomeUnknown",
    "Place",
    "Power",
    "ProviderClusterType",
    "ProviderImage",
    "ProviderOffer",
    "ProviderTemplate",
    "ProviderVolumeType",
    "RateLimited",
    "Refused",
    "Sighting",
    "Telling",
    "Unreachable",
    "VolumeListing",
    "VolumeOrder",
    "VolumeSighting",
    "WithoutTemplates",
    "WithoutVolumes",
]
