"""An instance on its way to another member, as it is written on the instance itself. Pure.

From before it is stopped until it has arrived: whoever looks meanwhile neither starts it nor gives its cards away, and a run
that broke off is taken up by the next.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from berth.drivers.incus import names

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Move:
    source: str
    target: str
    cards: Sequence[str]
    """PCI addresses of those that it gets at `target`: nobody else is given them."""
    is_on: bool
    """Whether it ran, and runs again once it has arrived."""
    luggage: Mapping[str, Json] = field(default_factory=dict)
    """Devices that were taken off it, by their names: its volumes, and the cards that it had at `source`."""

    def packed(self, devices: Json) -> "Move":
        """With everything in `devices` that cannot come along by itself."""
        found = {name: each for name, each in devices.items() if names.is_our_gpu(name) or _is_volume(each)}
        return replace(self, luggage={**self.luggage, **found})

    def volumes(self) -> Sequence[str]:
        return [str(each["source"]) for each in self.luggage.values() if _is_volume(each)]

    def cards_left(self) -> frozenset[str]:
        """Of the source, that it had."""
        return frozenset(
            str(each.get("pci")) for name, each in self.luggage.items() if names.is_our_gpu(name)
        )

    def unpacked(self, member: str) -> Mapping[str, Json]:
        """What is put on it again at the member where it is: the source, where it got no farther."""
        cards = {name: each for name, each in self.luggage.items() if names.is_our_gpu(name)}
        volumes = {name: each for name, each in self.luggage.items() if name not in cards}
        return {**volumes, **(names.gpu_devices(self.cards) if member == self.target else cards)}

    def text(self) -> str:
        return json.dumps(
            {
                "source": self.source,
                "target": self.target,
                "cards": list(self.cards),
                "is_on": self.is_on,
                "luggage": dict(self.luggage),
            }
        )


def of(instance: Json) -> Move | None:
    """None for one that stays where it is."""
    try:
        said = json.loads((instance.get("config") or {}).get(names.MOVE) or "null")
    except ValueError:
        return None
    if not isinstance(said, dict):
        return None
    return Move(
        str(said.get("source")),
        str(said.get("target")),
        [str(pci) for pci in said.get("cards") or ()],
        is_on=said.get("is_on") is True,
        luggage=said.get("luggage") or {},
    )


def _is_volume(device: Json) -> bool:
    return device.get("type") == "disk" and bool(device.get("source") and device.get("pool"))
