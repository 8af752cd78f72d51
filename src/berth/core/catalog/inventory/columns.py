"""Offers in one order, a column each for what they are filtered by: what a search looks through.

A column holds no values but their ranks among the different values that there are, in the narrowest integers that do.
So every comparison is one of small integers, exact whatever the value was, and a filter that nothing or everything
passes is known before looking. Offers of each GPU type lie together a second time, still in order.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from berth.core.catalog.inventory.model import Found, Listed, Wanted

Ranks = npt.NDArray[np.unsignedinteger[Any]]
Mask = npt.NDArray[np.bool_]
Test = tuple[str, Callable[[Any, Any], Any], "int | Mask"]
"""(column, comparison, rank): what an offer must pass."""

FIRST_CHUNK = 1024
GROWTH = 4
MOST_CHUNK = 65_536
"""Offers that are looked at together: few at first, since a page is soon full, in the end as many as a cache holds."""
_PLACES_KEPT = 256
_VERDICTS_KEPT = 16
_UNKNOWN, _NO, _YES = 0, 1, 2


class Table:
    """Offers in any order, with the rank of each in every column."""

    def __init__(self, offers: Sequence[Listed]) -> None:
        self.offers = offers
        self.places = Places(offers)
        self.levels: dict[str, list[Any]] = {}
        self.ranks: dict[str, Ranks] = {"location": self.places.ranks(offers)}
        for name, read in _READ.items():
            self.levels[name], self.ranks[name] = _ranked([read(offer) for offer in offers])


class Columns:
    """The offers of a table in one order: `order` says of each place in it which offer is there."""

    def __init__(self, table: Table, order: npt.NDArray[np.intp]) -> None:
        self.offers = [table.offers[at] for at in order.tolist()]
        self._places = table.places
        self._levels = table.levels
        self._whole = {name: ranks[order] for name, ranks in table.ranks.items()}
        self._group()
        self._verdicts: dict[object, bytearray] = {}

    def _group(self) -> None:
        """The same columns with each GPU type together, and where each begins and ends."""
        gpu = self._whole["gpu_type"]
        self._positions = np.argsort(gpu, kind="stable")
        together = gpu[self._positions]
        self._grouped = {name: column[self._positions] for name, column in self._whole.items()}
        ranks = np.arange(len(self._levels["gpu_type"]) + 1)
        self._bounds = np.searchsorted(together, ranks).tolist()

    def search(self, wanted: Wanted) -> Found:
        nothing = Found((), 0 if wanted.counts else None)
        tests = self._tests(wanted)
        if tests is None:
            return nothing
        columns, first, last = self._whole, 0, len(self.offers)
        positions = None
        if wanted.gpu_type is not None:
            rank = _rank_of(self._levels["gpu_type"], wanted.gpu_type)
            if rank is None:
                return nothing
            columns, positions = self._grouped, self._positions
            first, last = self._bounds[rank], self._bounds[rank + 1]
        end = last - first if wanted.limit is None else wanted.offset + wanted.limit
        if not tests and wanted.fits is None:
            chosen = range(min(first + wanted.offset, last), min(first + end, last))
            return self._found(chosen, positions, last - first if wanted.counts else None)
        return self._look(wanted, tests, columns, positions, first, last, end)

    def _look(
        self,
        wanted: Wanted,
        tests: Sequence[Test],
        columns: dict[str, Ranks],
        positions: npt.NDArray[np.intp] | None,
        first: int,
        last: int,
        end: int,
    ) -> Found:
        chosen: list[int] = []
        total, size = 0, FIRST_CHUNK
        while first < last and (wanted.counts or len(chosen) < end):
            until = min(first + size, last)
            mask: Any = None
            for name, compare, rank in tests:
                passed = compare(columns[name][first:until], rank)
                mask = passed if mask is None else np.logical_and(mask, passed, out=mask)
            if len(chosen) >= end and wanted.fits is None:
                total += int(np.count_nonzero(mask))
            elif wanted.fits is not None:
                matching = range(first, until) if mask is None else (mask.nonzero()[0] + first).tolist()
                fitting = self._fitting(wanted.fits, matching, positions)
                total += len(fitting)
                chosen.extend(fitting)
            else:
                found = mask.nonzero()[0]
                total += len(found)
                chosen.extend((found[: end - len(chosen)] + first).tolist())
            first, size = until, min(size * GROWTH, MOST_CHUNK)
        return self._found(chosen[wanted.offset : end], positions, total if wanted.counts else None)

    def _found(
        self, chosen: Sequence[int], positions: npt.NDArray[np.intp] | None, total: int | None
    ) -> Found:
        offers = self.offers
        if positions is not None:
            chosen = positions[np.asarray(chosen, dtype=np.intp)].tolist()
        return Found([offers[position] for position in chosen], total)

    def _fitting(
        self,
        fits: Callable[[Listed], bool],
        matching: Sequence[int],
        positions: npt.NDArray[np.intp] | None,
    ) -> list[int]:
        """Those that fit. Each is asked about once, since offers do not change."""
        if fits not in self._verdicts:
            if len(self._verdicts) >= _VERDICTS_KEPT:
                self._verdicts.clear()
            self._verdicts[fits] = bytearray(len(self.offers))
        verdicts = self._verdicts[fits]
        fitting = []
        for each in matching:
            at = each if positions is None else int(positions[each])
            if verdicts[at] == _UNKNOWN:
                verdicts[at] = _YES if fits(self.offers[at]) else _NO
            if verdicts[at] == _YES:
                fitting.append(each)
        return fitting

    def _tests(self, wanted: Wanted) -> list[Test] | None:
        """None: nothing can pass."""
        tests: list[Test] = []
        for name, bound, figures in (
            ("cuda", _at_least, None if wanted.min_cuda is None else max(wanted.min_cuda, 0.0)),
            ("vram_gb", _at_least, wanted.min_vram_gb),
            ("reliability", _at_least, wanted.min_reliability),
            ("confidence", _at_least, wanted.min_confidence),
            ("gpu_count", _at_least, wanted.min_gpu_count),
            ("price", _at_most, wanted.max_price),
            ("gpu_count", _exactly, wanted.gpu_count),
            ("provider", _exactly, wanted.provider),
        ):
            if figures is not None:
                bounds = bound(name, self._levels[name], figures)
                if bounds is None:
                    return None
                tests.extend(bounds)
        if wanted.location is not None:
            place = self._places.test(wanted.location)
            if place is None:
                return None
            tests.extend(place)
        return tests


def _at_least(name: str, levels: list[Any], figure: Any) -> list[Test] | None:
    rank = bisect_left(levels, figure)
    if rank == len(levels) or figure != figure:  # noqa: PLR0124 - what is not a number is no less than anything
        return None
    return [(name, np.greater_equal, rank)] if rank else []


def _at_most(name: str, levels: list[Any], figure: Any) -> list[Test] | None:
    rank = bisect_right(levels, figure) - 1
    if rank < 0 or figure != figure:  # noqa: PLR0124 - as above
        return None
    return [(name, np.less_equal, rank)] if rank < len(levels) - 1 else []


def _exactly(name: str, levels: list[Any], value: Any) -> list[Test] | None:
    rank = _rank_of(levels, value)
    if rank is None:
        return None
    return [(name, np.equal, rank)] if len(levels) > 1 else []


class Places:
    """The different locations of some offers, to be asked which of them a text is a part of."""

    def __init__(self, offers: Sequence[Listed]) -> None:
        self._names = sorted({offer.location for offer in offers})
        self._folded = [name.casefold() for name in self._names]
        self._rank = {name: rank for rank, name in enumerate(self._names)}
        self._tests: dict[str, list[Test] | None] = {}

    def ranks(self, offers: Sequence[Listed]) -> Ranks:
        rank = self._rank
        return _narrow(np.array([rank[offer.location] for offer in offers], dtype=np.int64))

    def test(self, part: str) -> list[Test] | None:
        """None: it is a part of none."""
        if part not in self._tests:
            if len(self._tests) >= _PLACES_KEPT:
                self._tests.clear()
            self._tests[part] = self._made(part.casefold())
        return self._tests[part]

    def _made(self, part: str) -> list[Test] | None:
        matching = [rank for rank, name in enumerate(self._folded) if part in name]
        if not matching:
            return None
        if len(matching) == len(self._names):
            return []
        if len(matching) == 1:
            return [("location", np.equal, matching[0])]
        is_one = np.zeros(len(self._names), dtype=np.bool_)
        is_one[matching] = True
        return [("location", _is_one_of, is_one)]


def _is_one_of(ranks: Ranks, is_one: Mask) -> Mask:
    return is_one[ranks]


def _rank_of(levels: list[Any], value: object) -> int | None:
    at = bisect_left(levels, value)
    return at if at < len(levels) and levels[at] == value else None


def _ranked(values: list[Any]) -> tuple[list[Any], Ranks]:
    """The different values in order, and the rank of each."""
    if not values or isinstance(values[0], str):
        levels = sorted(set(values))
        rank = {value: at for at, value in enumerate(levels)}
        return levels, _narrow(np.array([rank[value] for value in values], dtype=np.int64))
    found, ranks = np.unique(np.array(values), return_inverse=True)
    return found.tolist(), _narrow(ranks)


def _narrow(ranks: npt.NDArray[np.integer[Any]]) -> Ranks:
    return ranks.astype(np.min_scalar_type(int(ranks.max()) if len(ranks) else 0))


NO_CUDA = -1.0
_READ: dict[str, Callable[[Listed], Any]] = {
    "provider": attrgetter("provider"),
    "gpu_type": attrgetter("gpu_type"),
    "gpu_count": attrgetter("gpu_count"),
    "vram_gb": attrgetter("vram_gb"),
    "price": attrgetter("price"),
    "reliability": attrgetter("reliability"),
    "confidence": attrgetter("confidence"),
    "cuda": lambda offer: NO_CUDA if offer.cuda_version is None else offer.cuda_version,
}
