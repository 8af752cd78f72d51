"""A tag as kept."""

from dataclasses import dataclass
from enum import StrEnum

from berth.base.clock import Instant


class Kind(StrEnum):
    """What a tag is put on."""

    INSTANCE = "instance"
    VOLUME = "volume"
    CLUSTER = "cluster"

    @property
    def scope(self) -> str:
        """What it takes to change the things of this kind."""
        return "volumes:write" if self is Kind.VOLUME else "deployments:write"


@dataclass(frozen=True, slots=True)
class Tag:
    id: str
    project: str
    kind: Kind
    subject: str
    """The id of the thing."""
    key: str
    """In lower case, once for each thing."""
    value: str
    created_at: Instant
