"""What can be rented, gathered page by page: a search answers 64 offers at most, and few searches are allowed.

Each look goes on where the last one ended, from cheap to dear and then from the start again. What a page no longer has
between its first price and its last is gone at once; whatever was not confirmed for long is not offered either.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import structlog

from berth.core.driver import BadCredentials, DriverError, Unreachable
from berth.drivers.vastai.reading import Json, number, rows, whole

PAGE = 64
LONGEST_UNCONFIRMED_S = 600.0
MOST_OFFERS = 20_000
_log = structlog.get_logger()

Search = Callable[[dict[str, Any]], Awaitable[Json]]


@dataclass(frozen=True, slots=True)
class _Known:
    row: Json
    price: Decimal
    seen_at: float


class Market:
    """`search` sends a body and answers with what the service says; `clock` counts seconds and only goes forward."""

    def __init__(self, search: Search, clock: Callable[[], float], *, pages: int) -> None:
        self._search = search
        self._clock = clock
        self._pages = pages
        self._known: dict[int, _Known] = {}
        self._from: Decimal | None = None
        """Up to where this round has come; None: it begins."""
        self._in_round: set[int] = set()

    async def look(self, query: dict[str, Any]) -> Sequence[Json]:
        """Rows of offers, the cheapest first. Raises what the first search raises: nothing is confirmed then."""
        for page_number in range(self._pages):
            try:
                is_round_over = await self._next_page(query)
            except BadCredentials:
                raise
            except DriverError as error:
                if not page_number:
                    raise
                _log.warning("upstream_search_cut_short", error=repr(error))
                break
            if is_round_over:
                break
        self._forget_the_old()
        known = sorted(self._known.items(), key=lambda item: (item[1].price, item[0]))
        return [each.row for _, each in known]

    async def _next_page(self, query: dict[str, Any]) -> bool:
        """Takes in one page; True when nothing is dearer."""
        first = self._from
        page, is_full = await self._page(query, None if first is None else ("gte", first))
        if first is not None and is_full and not set(page) - self._in_round:
            # More than a page of one price: what is beyond that page cannot be had, what is dearer can.
            _log.warning("upstream_offers_of_one_price", price=str(first))
            page, is_full = await self._page(query, ("gt", first))
        fresh = set(page) - self._in_round
        last = max((each.price for each in page.values()), default=None)
        is_over = not fresh or not is_full or last is None or len(self._known) >= MOST_OFFERS
        self._drop(page, first, None if is_over else last)
        self._known.update(page)
        self._in_round.update(page)
        self._from = None if is_over else last
        if is_over:
            self._in_round = set()
        return is_over

    async def _page(
        self, query: dict[str, Any], bound: tuple[str, Decimal] | None
    ) -> tuple[dict[int, _Known], bool]:
        """Its offers, and whether there may be more after it: rows that are no offers fill a page as well."""
        asked = {**query, "order": [["dph_total", "asc"]], "limit": PAGE}
        if bound is not None:
            asked["dph_total"] = {bound[0]: bound[1]}
        listed = (await self._search(asked)).get("offers")
        if not isinstance(listed, list):
            raise Unreachable("POST /bundles/: no list in the answer")
        now, found = self._clock(), {}
        for row in rows(listed):
            price, handle = number(row.get("dph_total")), whole(row.get("ask_contract_id") or row.get("id"))
            if price is not None and price > 0 and handle > 0:
                found[handle] = _Known(row, price, now)
        return found, len(listed) >= PAGE

    def _drop(self, page: dict[int, _Known], first: Decimal | None, last: Decimal | None) -> None:
        """Forgets what was known between two prices and is not in the page any more; None: without a bound.

        At the bounds themselves a page need not be whole.
        """
        for handle, each in list(self._known.items()):
            is_between = (first is None or each.price > first) and (last is None or each.price < last)
            if is_between and handle not in page:
                del self._known[handle]

    def _forget_the_old(self) -> None:
        oldest = self._clock() - LONGEST_UNCONFIRMED_S
        self._known = {handle: each for handle, each in self._known.items() if each.seen_at >= oldest}
