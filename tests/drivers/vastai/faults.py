"""What goes wrong at the stand-in, from when it is switched on: once each, for as long as it is on, or by chance."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

Said = tuple[int, str, Mapping[str, str], str]
LIMITED: tuple[Said, ...] = (
    (429, "API requests too frequent: please slow down", {}, "text/plain"),
    (429, "API requests too frequent", {"Retry-After": "2"}, "text/plain"),
    (429, '{"detail": "Rate limit exceeded: endpoint threshold=4.5"}', {}, "application/json"),
    (429, '{"detail": "endpoint threshold=1.0"}', {"Retry-After": "1"}, "application/json"),
)
"""Status, body, headers and type of content: every form in which the service says that it is too much."""


@dataclass
class Faults:
    answers: list[tuple[str, Said]] = field(default_factory=list)
    """By the beginning of method and path, the next answers, each once, with nothing done."""
    lost: list[str] = field(default_factory=list)
    """Calls whose next answer does not arrive, each once: done, and the connection cut."""
    refused: list[str] = field(default_factory=list)
    """Calls whose connection is cut before anything is done, each once."""
    lost_permille: int = 0
    """By chance: a call that changes something is done, and its answer does not arrive."""
    refused_permille: int = 0
    """By chance: the connection is cut before anything is done."""
    limited_permille: int = 0
    """By chance: 429, in one of its forms."""
    broken_permille: int = 0
    """By chance: a 502 of something in between."""
    lag_looks: int = 0
    """How many looks a new instance is missing from."""
    lag_s: float = 0.0
    """For how long it is."""
    keeps_listing: int = 0
    """How many more looks a destroyed one is there for."""
    ignores_destroy: int = 0
    """So many destroys are acknowledged and not done."""
    ignores_stop: int = 0
    """So many stops are acknowledged and not done."""
    boot_looks: int = 2
    """After how many looks an instance runs."""
    status_msg: str = ""
    """What instances that are still on their way say."""
    sticks: str = ""
    """The `actual_status` that instances do not get beyond while they boot."""
    exits: str = ""
    """What instances wrote before their command ended, instead of running on."""
    log_tries: int = 0
    """So many times an instance's log is not there yet when asked for."""
    low_bid: bool = False
    """A create says `success: false`, and makes an instance that is off."""
    stale: str = ""
    """How the next create says that the offer is gone, though it is there: `410`, `404` or `400`."""
    queued: bool = False
    """Who starts again has to wait for hardware."""
    ignores_filters: bool = False
    """A search filters by prices alone."""
    hides: int = 0
    """So many instances at the end of a list are left out of it; how many there are it says all the same."""
    cuts_pages: bool = False
    """Every page of a list but the first fails."""
    keeps_pace: bool = False
    """The published pauses between calls are insisted on."""
    seed: int = 1

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)

    def change(self, wanted: Mapping[str, Any]) -> None:
        """Members by their names; a new seed begins anew."""
        known = {each.name for each in fields(self)}
        for name, value in wanted.items():
            if name not in known:
                raise KeyError(name)
            setattr(self, name, value)
        if "seed" in wanted:
            self.chance = random.Random(self.seed)

    def happens(self, permille: int) -> bool:
        return permille > 0 and self.chance.randrange(1000) < permille


def taken(wanted: list[str], call: str) -> bool:
    """Whether one of those that are wanted once is this call; it is wanted no more then."""
    for each in wanted:
        if call.startswith(each):
            wanted.remove(each)
            return True
    return False


def said(status: int, body: str, kind: str = "application/json") -> Said:
    return status, body, {}, kind
