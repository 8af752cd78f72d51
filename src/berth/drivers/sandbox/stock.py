"""Who has which part of this host: what is left to sell, and that nothing is sold twice.

A stopped instance has nothing, unless it was told to keep it. A claim stands in for an instance until its process can be seen.
"""

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator

from berth.core.driver import NoCapacity, ProviderOffer, Refused
from berth.drivers.sandbox import catalogue, gpus, process, records, simulated
from berth.drivers.sandbox.catalogue import Use
from berth.drivers.sandbox.config import SandboxConfig
from berth.drivers.sandbox.gpus import Card
from berth.drivers.sandbox.records import Spec
from berth.drivers.sandbox.store import Store


class Stock:
    def __init__(self, config: SandboxConfig, store: Store) -> None:
        self._config = config
        self._store = store
        self._capacity = catalogue.measure(() if config.simulate else gpus.detect())
        self._memory = threading.Lock()
        self._claims: Counter[str] = Counter()
        self._claimed: dict[str, tuple[str, Use]] = {}
        self._grants: dict[str, list[str]] = {}

    def offers(self, *, without: str | None = None) -> list[ProviderOffer]:
        """What could be sold now; `without` leaves one instance out of what is taken."""
        taken = self._taken(without)
        if self._config.simulate:
            return simulated.offers(offer_id for offer_id, _ in taken)
        return catalogue.offers(self._capacity, [use for _, use in taken], self._config.location)

    def is_claimed(self, instance_id: str) -> bool:
        return self._claims[instance_id] > 0

    @contextlib.contextmanager
    def claim(self, instance_id: str, offer_id: str, use: Use) -> Iterator[None]:
        """Holds capacity for an instance. Raises NoCapacity, or Refused when it is not sold."""
        with self._store.locked():
            if not self.is_claimed(instance_id):
                self._require(instance_id, offer_id, use)
            with self._memory:
                self._claims[instance_id] += 1
                self._claimed[instance_id] = (offer_id, use)
        try:
            yield
        finally:
            with self._memory:
                self._claims[instance_id] -= 1
                if not self._claims[instance_id]:
                    del self._claims[instance_id]
                    del self._claimed[instance_id]

    @contextlib.contextmanager
    def grant(self, spec: Spec) -> Iterator[list[Card]]:
        """Cards that no other instance has. The device nodes in its command line show it from then on."""
        if self._config.simulate or not spec.gpu_count:
            yield []
            return
        with self._store.locked():
            taken = {node for found in process.scan(spec.install_id).values() for node in found.devices}
            taken.update(node for nodes in self._grants.values() for node in nodes)
            cards = [card for card in self._capacity.cards if card.node not in taken][: spec.gpu_count]
            if len(cards) < spec.gpu_count:
                raise NoCapacity("not enough free cards")
            self._grants[spec.instance_id] = [card.node for card in cards]
        try:
            yield cards
        finally:
            del self._grants[spec.instance_id]

    def _require(self, instance_id: str, offer_id: str, use: Use) -> None:
        offers = {offer.provider_offer_id: offer for offer in self.offers(without=instance_id)}
        offer = offers.get(offer_id)
        if offer is None:
            raise Refused(
                f"no such offer: {offer_id}", reason="This instance type is not sold here any more."
            )
        if Use.of(offer.hardware) != use:
            raise Refused(f"the hardware of {offer_id} changed", reason="This instance type has changed.")
        if offer.free_units < 1:
            raise NoCapacity(f"{offer_id} is sold out")

    def _taken(self, without: str | None) -> list[tuple[str, Use]]:
        """Offer and use of all that has hardware now."""
        with self._memory:
            taken = dict(self._claimed)
        for instance_id in self._store.instances.ids():
            if instance_id not in taken:
                directory = self._store.instances.directory(instance_id)
                spec, run = records.read_spec(directory), records.read_run(directory)
                if spec is None or run is None:
                    continue
                if run.is_kept or process.is_alive(run.identity):
                    taken[instance_id] = (spec.provider_offer_id, Use.of(spec))
        return [part for instance_id, part in taken.items() if instance_id != without]
