"""Vast.ai as a provider: one rentable machine is one offer, an instance is a container on it.

An instance's handle is the number of its contract, which lasts through stops. Its label is the only thing that says
whose it is: an account may be shared, also by several installations.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

import structlog

from berth.base.clock import Clock, SystemClock
from berth.core.driver import (
    Abilities,
    BadCredentials,
    Catalogue,
    CreateOrder,
    DriverError,
    Label,
    Listing,
    NoCapacity,
    NotSupported,
    OutcomeUnknown,
    Power,
    ProviderOffer,
    ProviderTemplate,
    Refused,
    Sighting,
    Unreachable,
    WithoutVolumes,
)
from berth.drivers.vastai import images, sightings, translate
from berth.drivers.vastai.client import Client, segment
from berth.drivers.vastai.config import VastaiConfig
from berth.drivers.vastai.errors import Missing
from berth.drivers.vastai.launching import Start, start_of
from berth.drivers.vastai.limits import Kind
from berth.drivers.vastai.looks import Looks
from berth.drivers.vastai.market import Market
from berth.drivers.vastai.reading import Json, balance_micros, rows, text, whole
from berth.drivers.vastai.turns import Turns

APPEARS_WITHIN_S = 60
PAGES = 400
"""Of the list of instances; with 25 on each, ten thousand."""
_PAGE = 25
_LOG_TRIES = 10
_LOG_PAUSE_S = 0.3
_REMEMBERED = 1000
_TEMPLATES_S = 3600.0
_log = structlog.get_logger()
_NOTES = (
    "Instances at Vast.ai are containers on machines of strangers, who can see what is in them.",
    "A stop there gives the GPUs back; the disk is billed until the instance is destroyed.",
    "What limits an instance there is up to its host; nothing of it is enforced from here.",
    "Traffic is billed there by the GB, at each host's own price, on top of the hourly one.",
)


class VastaiDriver(WithoutVolumes):
    """Implements `berth.core.driver.Driver`. One per account."""

    def __init__(
        self,
        config: VastaiConfig,
        *,
        clock: Clock | None = None,
        timer: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._config = config
        self._timer = timer
        self._sleep = sleep
        self._client = Client(config, clock=clock or SystemClock(), timer=timer, sleep=sleep)
        self._wanted = translate.Wanted(config.min_reliability, config.is_verified_only, config.disk_gb)
        self._market = Market(
            lambda body: self._client.search("/api/v0/bundles/", body), timer, pages=config.search_pages
        )
        self._looks = Looks(self._show, self._by_handle, lambda: self._client.limits.is_free(Kind.SHOW))
        self._looking = asyncio.Lock()
        self._turns = Turns()
        self._templates: Sequence[ProviderTemplate] = ()
        self._templates_until = float("-inf")
        self._ended_saying: OrderedDict[str, str] = OrderedDict()
        """Why containers ended, by their handles."""

    @property
    def abilities(self) -> Abilities:
        return Abilities(
            ip_may_change=True,
            reports_use=True,
            containers=True,
            templates=True,
            appears_within_s=APPEARS_WITHIN_S,
            notes=_NOTES,
        )

    async def catalogue(self) -> Catalogue:
        async with self._looking:
            listed = await self._market.look(self._wanted.query())
        await self._watch_balance()
        offers = await asyncio.to_thread(self._worded, listed)
        return Catalogue(offers=offers, images=images.offered())

    async def offer(self, provider_offer_id: str) -> ProviderOffer | None:
        """One offer as it is now; None when it cannot be rented any more."""
        number = whole(provider_offer_id)
        query = {**self._wanted.query(), "ask_contract_id": {"eq": number}}
        answer = await self._client.search("/api/v0/bundles/", query)
        for row in rows(answer.get("offers")):
            found = translate.offer(row)
            if found is not None and found.provider_offer_id == str(number) and self._wanted.has(row):
                return found
        return None

    async def templates(self) -> Sequence[ProviderTemplate]:
        if self._timer() >= self._templates_until:
            self._templates = await self._find_templates({"recommended": {"eq": True}})
            self._templates_until = self._timer() + _TEMPLATES_S
        return self._templates

    async def create(self, order: CreateOrder) -> Sighting:
        async with self._turns.of(str(order.label)):
            found = await self._labelled(order.label)
            if found is not None:
                return sightings.sighting(found)
            start = start_of(order, await self._template(order), disk_gb=self._config.disk_gb)
            handle = await self._make(order, start)
            await self._attach(handle, start.keys_to_attach)
            return Sighting(order.label, handle, Power.CREATING)

    async def inspect(self, label: Label, handle: str | None) -> Sighting | None:
        row = await (self._labelled(label) if handle is None else self._looks.at(handle))
        if row is None:
            return None
        seen = sightings.sighting(row)
        return await self._explained(seen) if seen.reason == sightings.EXITED else seen

    async def list_own(self, install_id: str) -> Listing:
        listed, is_complete = await self._list()
        own = [
            sightings.sighting(row)
            for row in listed
            if (label := sightings.label_of(row)) is not None and label.install_id == install_id
        ]
        return Listing(own, is_complete)

    async def start(self, handle: str, order: CreateOrder | None = None) -> None:  # noqa: ARG002 - it is kept there
        answer = await self._manage(handle, "running")
        if "queued" in text(answer, "msg").casefold():
            # Left in the queue it would come up some day, asked for by nobody any more.
            try:
                await self._manage(handle, "stopped")
            except DriverError as error:
                _log.warning("upstream_start_not_withdrawn", handle=handle, error=repr(error))
            raise NoCapacity(f"{handle}: its host has no GPU left for it")

    async def stop(self, handle: str, *, release: bool = True) -> None:  # noqa: ARG002 - every stop releases there
        try:
            await self._manage(handle, "stopped")
        except Missing:
            return

    async def restart(self, handle: str) -> None:
        await self._client.change(Kind.MANAGE, "PUT", f"/api/v0/instances/reboot/{segment(handle)}/")

    async def destroy(self, handle: str, *, keep_disk: bool = False) -> None:
        if keep_disk:
            raise NotSupported("a disk at Vast.ai ends with its instance")
        try:
            await self._client.change(Kind.DESTROY, "DELETE", f"/api/v0/instances/{segment(handle)}/")
        except Missing:
            return
        except OutcomeUnknown:
            # Whether it is gone is read, not believed.
            if await self._show(handle) is not None:
                raise

    async def close(self) -> None:
        await self._client.close()

    def _worded(self, listed: Sequence[Json]) -> Sequence[ProviderOffer]:
        """Takes seconds for a whole market: not in an event loop."""
        return translate.offers(row for row in listed if self._wanted.has(row))

    async def _make(self, order: CreateOrder, start: Start) -> str:
        """Rents it; the handle of what was made."""
        path = f"/api/v0/asks/{segment(order.provider_offer_id)}/"
        answer = await self._client.create(path, start.body)
        made = whole(answer.get("new_contract"))
        if made <= 0:
            raise OutcomeUnknown(f"PUT {path}: accepted, and no contract in the answer")
        if answer.get("success") is False:
            # It is there all the same: off, with a disk that is billed.
            await self._undo(str(made), f"PUT {path}: {answer.get('error')} {answer.get('msg')}")
        return str(made)

    async def _undo(self, handle: str, said: str) -> None:
        """Raises NoCapacity once what should not be there is gone, OutcomeUnknown where that is not sure."""
        try:
            await self.destroy(handle)
        except BadCredentials:
            raise
        except DriverError as error:
            raise OutcomeUnknown(f"{said}; {handle} is left over: {error!r}") from error
        raise NoCapacity(said)

    async def _attach(self, handle: str, keys: Sequence[str]) -> None:
        for key in keys:
            try:
                path = f"/api/v0/instances/{segment(handle)}/ssh/"
                await self._client.change(Kind.ATTACH, "POST", path, {"ssh_key": key})
            except DriverError as error:
                # Nobody could enter: better none at all, and another try.
                await self._undo(handle, f"{handle}: a key could not be attached: {error!r}")

    async def _template(self, order: CreateOrder) -> ProviderTemplate | None:
        wanted = None if order.launch is None else order.launch.template
        if wanted is None:
            return None
        for known in self._templates:
            if known.hash_id == wanted:
                return known
        for found in await self._find_templates({"hash_id": {"eq": wanted}}):
            if found.hash_id == wanted:
                return found
        raise Refused(f"no template {wanted}", reason="The template is not there any more.")

    async def _find_templates(self, filters: Json) -> Sequence[ProviderTemplate]:
        answer = await self._client.get(
            Kind.TEMPLATES, "/api/v0/template/", select_cols=["*"], select_filters=filters
        )
        if not isinstance(answer.get("templates"), list):
            raise Unreachable("GET /template/: no list in the answer")
        return translate.templates(rows(answer["templates"]))

    async def _explained(self, seen: Sighting) -> Sighting:
        """Why its container ended, asked for once."""
        if seen.handle not in self._ended_saying:
            # Kept first: a log that takes too long must not hold up every look.
            self._ended_saying[seen.handle] = sightings.EXITED
            if len(self._ended_saying) > _REMEMBERED:
                self._ended_saying.popitem(last=False)
            self._ended_saying[seen.handle] = sightings.exited_saying(await self._log_of(seen.handle) or "")
        return replace(seen, reason=self._ended_saying[seen.handle])

    async def _log_of(self, handle: str) -> str | None:
        """The end of what a container wrote; None where that cannot be had."""
        path = f"/api/v0/instances/request_logs/{segment(handle)}/"
        try:
            answer = await self._client.change(Kind.MANAGE, "PUT", path, {"tail": "20"})
        except DriverError as error:
            _log.warning("upstream_log_unknown", handle=handle, error=repr(error))
            return None
        url = text(answer, "result_url")
        for _ in range(_LOG_TRIES if url else 0):
            await self._sleep(_LOG_PAUSE_S)
            found = await self._client.fetch_text(url)
            if found is not None:
                return found
        return None

    async def _watch_balance(self) -> None:
        base_url = self._config.base_url
        try:
            left = balance_micros(
                (await self._client.get(Kind.ACCOUNT, "/api/v0/users/current/")).get("credit")
            )
        except DriverError as error:
            _log.warning("upstream_balance_unknown", base_url=base_url, error=repr(error))
            return
        if left is not None and left < self._config.low_balance_micros:
            _log.warning("upstream_balance_low", base_url=base_url, left_micros=left)

    async def _manage(self, handle: str, state: str) -> Json:
        path = f"/api/v0/instances/{segment(handle)}/"
        return await self._client.change(Kind.MANAGE, "PUT", path, {"state": state})

    async def _show(self, handle: str) -> Json | None:
        """None only for what the service itself says is not there."""
        path = f"/api/v0/instances/{segment(handle)}/"
        try:
            answer = await self._client.get(Kind.SHOW, path, owner="me")
        except Missing:
            return None
        row = answer.get("instances", False)
        if row is None:
            return None
        if not isinstance(row, Mapping) or sightings.handle_of(row) != handle:
            raise Unreachable(f"GET {path}: no such instance in the answer")
        return row

    async def _labelled(self, label: Label) -> Json | None:
        """What carries the label, the oldest where there are several: the others show in listings."""
        listed, is_complete = await self._list({"label": {"in": [str(label)]}})
        found = [row for row in listed if sightings.label_of(row) == label]
        if not found and not is_complete:
            raise Unreachable(f"{label}: only a part was listed")
        return min(found, key=lambda row: whole(row.get("id")), default=None)

    async def _by_handle(self) -> Mapping[str, Json]:
        listed, _ = await self._list()
        return {sightings.handle_of(row): row for row in listed}

    async def _list(self, filters: Json | None = None) -> tuple[Sequence[Json], bool]:
        """Every instance of the account, and whether that is certainly all. Raises where not even one page came."""
        found: dict[str, Json] = {}
        token, is_whole, total = "", True, 0
        for _ in range(PAGES):
            query: dict[str, object] = {"after_token": token} if token else {}
            try:
                answer = await self._client.get(
                    Kind.LIST,
                    "/api/v1/instances/",
                    select_filters=filters or {},
                    order_by=[{"col": "id", "dir": "asc"}],
                    limit=_PAGE,
                    **query,
                )
            except BadCredentials:
                raise
            except DriverError as error:
                if not token:
                    raise
                _log.warning("upstream_listing_cut_short", error=repr(error))
                return list(found.values()), False
            page = answer.get("instances")
            if not isinstance(page, list):
                raise Unreachable("GET /api/v1/instances/: no list in the answer")
            handles = [sightings.handle_of(row) if isinstance(row, Mapping) else "" for row in page]
            is_whole = is_whole and all(handles)
            found.update((handle, row) for handle, row in zip(handles, page, strict=True) if handle)
            total = whole(answer.get("total_instances"))
            after = text(answer, "next_token")
            if not after:
                return list(found.values()), is_whole and (filters is not None or len(found) >= total)
            if after == token:
                break
            token = after
        return list(found.values()), False
