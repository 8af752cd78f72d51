"""TensorDock as a provider: virtual machines in the locations of a marketplace.

An instance's handle is the virtual machine's own id. Its name is its label, which is all that a create whose answer got
lost is found by: the API knows no other mark of ours.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import structlog

from berth.core.driver import (
    Abilities,
    Catalogue,
    CreateOrder,
    DriverError,
    Label,
    Listing,
    NotSupported,
    OutcomeUnknown,
    Power,
    RateLimited,
    Refused,
    Sighting,
    Unreachable,
    WithoutTemplates,
    WithoutVolumes,
)
from berth.drivers.tensordock import selling, translate
from berth.drivers.tensordock.client import Client, segment
from berth.drivers.tensordock.config import TensorDockConfig
from berth.drivers.tensordock.errors import Missing
from berth.drivers.tensordock.selling import OfferName, Reach, Shape
from berth.drivers.tensordock.turns import Turns
from berth.drivers.tensordock.words import Json, text

APPEARS_WITHIN_S = 120
"""A create may take a minute, and goes on when nobody waits for its answer any more."""
_INSTANCES = "/instances"
_log = structlog.get_logger()
_NOTES = (
    "TensorDock does not say what a stopped virtual machine costs: it counts as billed, and is kept until it is deleted.",
    "What TensorDock lists is often not to be had: an order then goes on to the next offer.",
)


class TensorDockDriver(WithoutTemplates, WithoutVolumes):
    """Implements `berth.core.driver.Driver`. One per organisation."""

    def __init__(
        self,
        config: TensorDockConfig,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._config = config
        self._client = Client(config, clock, sleep)
        self._turns = Turns()
        self._sold: Mapping[str, Shape] = {}
        self._reaches: Mapping[OfferName, Reach] = {}
        self._handles: dict[Label, str] = {}
        """What carried a label when it was last seen: looked at, never trusted."""

    @property
    def abilities(self) -> Abilities:
        return Abilities(
            stop_releases_hardware=False,
            ip_may_change=True,
            restart=False,
            counts_units=False,
            appears_within_s=APPEARS_WITHIN_S,
            notes=_NOTES,
        )

    async def catalogue(self) -> Catalogue:
        return Catalogue(
            offers=selling.offers(await self._look_around()),
            images=selling.images(self._config.default_image),
        )

    async def create(self, order: CreateOrder) -> Sighting:
        async with self._turns.of(str(order.label)):
            known = await self.inspect(order.label, None)
            return known or await self._make(order)

    async def inspect(self, label: Label, handle: str | None) -> Sighting | None:
        looked_at = handle or self._handles.get(label)
        found = None if looked_at is None else await self._show(looked_at)
        if found is None or translate.label_of(found) != label:
            listed = await self._find(label)
            if listed is None:
                self._handles.pop(label, None)
                return None
            # A list has no addresses.
            found = await self._show(text(listed, "id")) or listed
        return self._seen(found, label)

    async def list_own(self, install_id: str) -> Listing:
        listed, is_complete = await self._list()
        own = [
            (row, label)
            for row in listed
            if (label := translate.label_of(row)) is not None and label.install_id == install_id
        ]
        for row, label in own:
            self._handles[label] = text(row, "id")
        seen = [translate.sighting(row, label) for row, label in own]
        # One whose status says nothing is there all the same, and hides no other.
        sightings = tuple(sighting for sighting in seen if sighting is not None)
        return Listing(sightings, is_complete=is_complete and len(sightings) == len(own))

    async def start(self, handle: str, order: CreateOrder | None = None) -> None:  # noqa: ARG002
        if await self._power(handle) in {Power.STOPPED, Power.FAILED}:
            await self._client.change("POST", f"{_INSTANCES}/{segment(handle)}/start")

    async def stop(self, handle: str, *, release: bool = True) -> None:  # noqa: ARG002 - there is one way to stop
        if await self._power(handle) is Power.RUNNING:
            await self._client.change("POST", f"{_INSTANCES}/{segment(handle)}/stop")

    async def restart(self, handle: str) -> None:
        raise NotSupported(f"{handle}: TensorDock has no restart")

    async def destroy(self, handle: str, *, keep_disk: bool = False) -> None:  # noqa: ARG002 - see `abilities`
        try:
            await self._client.change("DELETE", f"{_INSTANCES}/{segment(handle)}")
        except Missing:
            if await self._listed(handle) is not None:
                raise
        self._handles = {label: known for label, known in self._handles.items() if known != handle}

    async def close(self) -> None:
        await self._client.close()

    async def _look_around(self) -> Sequence[Json]:
        """Every location, those included that only hosts are known of; remembers how each is ordered and reached."""
        answer, hosts = await asyncio.gather(self._client.get("/locations"), self._hosts())
        listed = selling.locations(answer)
        if listed is None:
            raise Unreachable("GET /locations: no list in the answer")
        everywhere = [*listed, *selling.as_locations(hosts)]
        self._reaches = selling.reaches(reversed(everywhere))
        self._sold = {
            offer.provider_offer_id: Shape(
                offer.hardware.vcpu_count, offer.hardware.ram_gb, offer.hardware.storage_gb
            )
            for offer in selling.offers(everywhere)
        }
        return everywhere

    async def _hosts(self) -> Sequence[Json]:
        """Closed to many accounts: then nothing is known of hosts, and that is all."""
        try:
            return selling.hostnodes(await self._client.get("/hostnodes"))
        except RateLimited:
            raise
        except DriverError as error:
            _log.debug("hostnodes_unknown", error=repr(error))
            return ()

    async def _make(self, order: CreateOrder) -> Sighting:
        offer = OfferName.parse(order.provider_offer_id)
        if offer is None:
            raise Refused(f"{order.provider_offer_id!r} is no offer of TensorDock")
        if not order.ssh_public_keys:
            raise Refused("TensorDock makes no virtual machine without an SSH key")
        if order.provider_offer_id not in self._sold:
            await self._look_around()  # sold by a process before this one
        shape = self._sold.get(order.provider_offer_id) or selling.shape({}, offer.count)
        reach = self._reaches.get(OfferName(offer.location_id, offer.gpu))
        has_own_ip = reach is not None and reach.has_own_ips and not reach.forwards_ports
        body = translate.create_body(order, offer, shape, has_own_ip=has_own_ip)
        made = translate.flat(await self._client.change("POST", _INSTANCES, body))
        handle = text(made, "id")
        if not handle:
            raise OutcomeUnknown(f"POST {_INSTANCES}: accepted, and no id in the answer")
        self._handles[order.label] = handle
        return translate.sighting(
            {**made, "name": body["data"]["attributes"]["name"]}, order.label
        ) or Sighting(order.label, handle, Power.CREATING)

    async def _power(self, handle: str) -> Power:
        row = await self._show(handle) or await self._listed(handle)
        label = None if row is None else translate.label_of(row)
        if row is None or label is None:
            raise Refused(f"{handle}: no instance of ours")
        return self._seen(row, label).power

    async def _show(self, handle: str) -> Json | None:
        """None where it does not say: only a list that lacks it proves that it is gone."""
        try:
            row = translate.flat(await self._client.get(f"{_INSTANCES}/{segment(handle)}"))
        except Missing:
            return None
        if not translate.is_whole(row):
            raise Unreachable(f"{handle}: no instance in the answer")
        return row if translate.is_there(row) else None

    async def _find(self, label: Label) -> Json | None:
        """What carries the label. Raises Unreachable where a list that lacks it may be cut short."""
        listed, is_complete = await self._list()
        for row in listed:
            if translate.label_of(row) == label:
                return row
        if not is_complete:
            raise Unreachable(f"{label}: not in a list that is not whole")
        return None

    async def _listed(self, handle: str) -> Json | None:
        listed, is_complete = await self._list()
        for row in listed:
            if text(row, "id") == handle:
                return row
        if not is_complete:
            raise Unreachable(f"{handle}: not in a list that is not whole")
        return None

    async def _list(self) -> tuple[Sequence[Json], bool]:
        """What is there, and whether that is all: False when a row came that cannot be read."""
        try:
            answer: Any = await self._client.get(_INSTANCES)
        except Missing as error:
            raise Unreachable(f"GET {_INSTANCES}: {error}") from error
        listed = translate.listed(answer)
        if listed is None:
            raise Unreachable(f"GET {_INSTANCES}: no list in the answer")
        rows = [translate.flat(row) for row in listed]
        whole = [row for row in rows if translate.is_whole(row)]
        return [row for row in whole if translate.is_there(row)], len(whole) == len(rows)

    def _seen(self, row: Json, label: Label) -> Sighting:
        self._handles[label] = text(row, "id")
        sighting = translate.sighting(row, label)
        if sighting is None:
            raise Unreachable(f"{label}: status {text(row, 'status')!r}")
        return sighting
