"""The one predicate of which image boots on which type. Listing and deploying both ask it, so they agree."""

from berth.core.catalog.model import Image, InstanceType


def fits(image: Image, instance_type: InstanceType) -> bool:
    return image.gpu_models is None or instance_type.gpu_model in image.gpu_models
