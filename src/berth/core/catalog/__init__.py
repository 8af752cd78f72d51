"""The catalogue: what can be sold, where, at what price, with which images, and who has claimed it."""

from berth.core.catalog.claims import claim, count_claim, reclaim, release, suppress, uncount_claim
from berth.core.catalog.compatibility import fits
from berth.core.catalog.model import (
    Image,
    InstanceType,
    Location,
    Offer,
    OfferView,
    Region,
    Search,
    Sort,
)
from berth.core.catalog.refresh import introduce, note_failure, refresh
from berth.core.catalog.service import (
    abilities,
    candidates,
    compatible_images,
    find_location,
    get_image,
    get_offer,
    get_type,
    images,
    known_offer,
    locations,
    pick_image,
    search,
)

__all__ = [
    "Image",
    "InstanceType",
    "Location",
    "Offer",
    "OfferView",
    "Region",
    "Search",
    "Sort",
    "abilities",
    "candidates",
    "claim",
    "compatible_images",
    "count_claim",
    "find_location",
    "fits",
    "get_image",
    "get_offer",
    "get_type",
    "images",
    "introduce",
    "known_offer",
    "locations",
    "note_failure",
    "pick_image",
    "reclaim",
    "refresh",
    "release",
    "search",
    "suppress",
    "uncount_claim",
]
