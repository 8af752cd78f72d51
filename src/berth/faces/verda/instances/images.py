"""Which image a deploy means: by its type, by its id here, or by an id of the vendor's that a client has built in."""

from collections.abc import Mapping, Sequence

from berth.base import ids
from berth.base.db import Tx
from berth.core import catalog
from berth.core.errors import NotFound
from berth.core.events import Actor

BUILT_IN: Mapping[str, Sequence[str]] = {
    "2088da25-bb0d-41cc-a191-dccae45d96fd": (
        "ubuntu-22.04-cuda-12.0-docker",
        "ubuntu-22.04-cuda-12.4-docker",
    ),
    "77777777-4f48-4249-82b3-f199fb9b701b": ("ubuntu-24.04-cuda-12.8-open-docker",),
    "2404f580-1300-1111-82b3-f199fb9b701b": (
        "ubuntu-24.04-cuda-13.0-open-docker",
        "ubuntu-24.04-cuda-12.8-open-docker",
    ),
}
"""What each was at the vendor's, and what comes close to it. dstack sends these and nothing else."""


def meant(tx: Tx, by: Actor, image: str, instance_type: str) -> str:
    """The image as core knows it: a slug or an id. What nobody knows is left for the order to refuse."""
    close = BUILT_IN.get(image.lower())
    known_id = ids.of_uuid(image)
    if close is None or known_id is None or _is_known(tx, by, known_id):
        return known_id or image
    try:
        usable = {each.slug for each in catalog.images(tx, by, instance_type=instance_type)}
    except NotFound:
        usable = set()
    return next((slug for slug in close if slug in usable), close[0])


def _is_known(tx: Tx, by: Actor, image_id: str) -> bool:
    """Whether a provider here gives that very image its id."""
    try:
        catalog.get_image(tx, by, image_id)
    except NotFound:
        return False
    return True
