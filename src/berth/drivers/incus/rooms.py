"""What members have, who has which part of it, and where another instance fits. Pure.

The grant of a card is ours alone: an engine asked for "a GPU" gives every one of them.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from berth.core.driver import NoCapacity
from berth.drivers.incus.config import TypeSold

_WORD = re.compile(r"[a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Card:
    pci: str
    """Its PCI address, for example `0000:41:00.0`."""
    product: str
    """All that is known of what it is."""

    def is_a(self, sold: TypeSold) -> bool:
        wanted = _words(sold.gpu_matches or sold.gpu_model or "")
        return bool(wanted) and wanted <= _words(self.product)


@dataclass(frozen=True, slots=True)
class Room:
    """One member."""

    member: str
    location: str
    is_open: bool
    """Whether anything may be placed there: it is online, and nobody is emptying it."""
    vcpus: int
    ram_mb: int
    cards: Sequence[Card] = ()


@dataclass(frozen=True, slots=True)
class Use:
    """What one instance has, of whichever project."""

    name: str
    member: str
    vcpus: int = 0
    ram_mb: int = 0
    cards: frozenset[str] = frozenset()
    """By their PCI addresses."""
    has_all_cards: bool = False
    """It was given GPUs without saying which."""
    ports: frozenset[int] = frozenset()
    holds: bool = True
    """False: it is off and its hardware was given back."""
    born_at: str = ""
    """When it was created, in the engine's words, which sort by time."""
    is_known: bool = True
    """False: its member did not say what it has."""


@dataclass(frozen=True, slots=True)
class Left:
    """What nobody has of a room."""

    room: Room
    vcpus: int
    ram_mb: int
    cards: Sequence[Card]

    def units(self, sold: TypeSold) -> int:
        """How many more of the type fit."""
        if not self.room.is_open:
            return 0
        fits = [self.vcpus // sold.vcpu_count, self.ram_mb // (sold.ram_gb * 1024)]
        if sold.gpu_count:
            fits.append(len(self._matching(sold)) // sold.gpu_count)
        return max(0, min(fits))

    def grant(self, sold: TypeSold) -> Sequence[str]:
        """The cards that one more instance gets."""
        return [card.pci for card in self._matching(sold)[: sold.gpu_count]]

    def _matching(self, sold: TypeSold) -> Sequence[Card]:
        return [card for card in self.cards if card.is_a(sold)] if sold.gpu_count else ()


@dataclass(frozen=True, slots=True)
class Grant:
    member: str
    cards: Sequence[str]
    port: int


def left(room: Room, uses: Iterable[Use]) -> Left:
    there = [use for use in uses if use.member == room.member and use.holds]
    if not all(use.is_known for use in there):
        return Left(room, 0, 0, ())
    taken = {pci for use in there for pci in use.cards}
    has_all = any(use.has_all_cards for use in there)
    return Left(
        room,
        room.vcpus - sum(use.vcpus for use in there),
        room.ram_mb - sum(use.ram_mb for use in there),
        () if has_all else [card for card in room.cards if card.pci not in taken],
    )


def place(
    sold: TypeSold,
    rooms: Iterable[Room],
    uses: Sequence[Use],
    *,
    location: str,
    ports: range,
    only_on: Collection[str] | None = None,
) -> Grant:
    """Where it goes and what it gets: where it fits tightest, so that large ones still fit elsewhere.

    Raises NoCapacity.
    """
    fitting = [
        free
        for room in rooms
        if room.location == location and (only_on is None or room.member in only_on)
        if (free := left(room, uses)).units(sold)
    ]
    if not fitting:
        raise NoCapacity(f"{sold.name} fits on no member of {location}")
    best = min(fitting, key=lambda free: (len(free.cards), free.vcpus, free.ram_mb, free.room.member))
    return Grant(best.room.member, best.grant(sold), free_port(uses, ports))


def free_port(uses: Iterable[Use], ports: Iterable[int]) -> int:
    """One that no instance listens on, on whichever member: so it may move. Raises NoCapacity."""
    taken = {port for use in uses for port in use.ports}
    for port in ports:
        if port not in taken:
            return port
    raise NoCapacity("every port for SSH is taken")


def rivals(mine: Use, uses: Iterable[Use], *, is_new: bool) -> Sequence[Use]:
    """Those that were given what `mine` has, and to whom it yields.

    Of two that are made at once the later yields. One that takes cards again, or takes others, yields to all: who was
    made meanwhile looked before those were written, and saw nobody.
    """
    others = [use for use in uses if use.name != mine.name and use.holds]
    if not is_new:
        return [use for use in others if _have_one_card(mine, use)]
    return [
        use
        for use in others
        if (use.born_at, use.name) < (mine.born_at, mine.name)
        and (_have_one_card(mine, use) or use.ports & mine.ports)
    ]


def _have_one_card(mine: Use, other: Use) -> bool:
    return mine.member == other.member and bool(
        mine.cards & other.cards or (other.has_all_cards and mine.cards)
    )


def units(sold: TypeSold, rooms: Iterable[Room], uses: Sequence[Use], location: str) -> int:
    return sum(left(room, uses).units(sold) for room in rooms if room.location == location)


def grants_of(instances: Iterable[Use]) -> Mapping[str, Sequence[str]]:
    """Names of instances by the card that they have, as `member/pci`: more than one is a fault."""
    found: dict[str, list[str]] = {}
    for use in instances:
        for pci in sorted(use.cards):
            found.setdefault(f"{use.member}/{pci}", []).append(use.name)
    return found


def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text.lower()))
