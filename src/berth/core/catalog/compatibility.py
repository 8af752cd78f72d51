"""The one predicate of which image boots on which type. Listing and deploying both ask it, so they agree."""

from berth.base.clock import Instant
from berth.core.catalog.model import Image, InstanceType


def is_offered(image: Image, now: Instant) -> bool:
    """Somebody boots it, and it was not taken back. One that is only deprecated is still offered."""
    return bool(image.providers) and (image.removed_at is None or image.removed_at > now)


def fits(image: Image, instance_type: InstanceType, now: Instant) -> bool:
    """Its driver runs on the type's GPUs, and somebody who boots the image sells the type, if anybody does."""
    has_driver = image.gpu_models is None or instance_type.gpu_model in image.gpu_models
    sellers = instance_type.providers
    has_seller = not sellers or not sellers.isdisjoint(image.providers)
    return is_offered(image, now) and has_driver and has_seller
