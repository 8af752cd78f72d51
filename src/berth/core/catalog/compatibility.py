"""The one predicate of which image boots on which type. Listing and deploying both ask it, so they agree."""

from berth.core.catalog.model import Image, InstanceType


def fits(image: Image, instance_type: InstanceType) -> bool:
    """Its driver runs on the type's GPUs, and somebody who boots the image sells the type, if anybody does."""
    has_driver = image.gpu_models is None or instance_type.gpu_model in image.gpu_models
    sellers = instance_type.providers
    return has_driver and (not sellers or not sellers.isdisjoint(image.providers))
