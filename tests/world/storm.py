"""Random weather: customers, faults, failing hosts, deaths and time, drawn from one seed so that it can be had again.

What is drawn stays inside what the driver port promises, except for single wrong answers. Each act is noted, so
that a failure can be read like a story.
"""

from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Concatenate

from berth.base import ids
from berth.base.db import P, Tx
from berth.core import instances, volumes
from berth.core.driver import (
    Abilities,
    BadCredentials,
    DriverError,
    Label,
    NotSupported,
    OutcomeUnknown,
    RateLimited,
    Refused,
    Unreachable,
)
from berth.core.errors import Refusal
from berth.core.instances import Instance
from berth.core.volumes import Fate, NewVolume, Volume
from tests import make
from tests.world.parts import Machine
from tests.world.provider import VERBS, Provider
from tests.world.world import PATIENCE, TICKS, Turnable, World

CHANGING = ("create", "start", "stop", "restart", "destroy")


def providers(random: Random, clock: Turnable) -> list[Provider]:
    """Two that differ: how late they list, and whether a stop gives the hardware back."""
    built = []
    for name in ("sandbox", "other"):
        lag_s = random.choice([0, 0, 15, 90])
        offers = [
            make.offer(
                name=f"{name}-{number}", price=f"1.{random.randrange(10, 99)}", free=random.randrange(1, 4)
            )
            for number in range(random.randrange(1, 4))
        ]
        abilities = Abilities(
            stop_releases_hardware=random.random() < 0.7,
            stop_keeps_hardware=random.random() < 0.5,
            ip_may_change=random.random() < 0.5,
            appears_within_s=lag_s,
            keeps_disks=random.random() < 0.7,
            clones_volumes=random.random() < 0.7,
        )
        built.append(Provider(clock, name, offers, abilities=abilities, listing_lag_s=lag_s))
    return built


class Storm:
    """Acts on a world, at random."""

    def __init__(self, world: World, random: Random) -> None:
        self.world = world
        self.random = random
        self.story: list[str] = []
        self.ordered: list[Instance] = []
        self.away: list[tuple[Provider, Machine]] = []
        self.customers: list[make.Customer] = []
        self._acts: list[tuple[int, Callable[[], Awaitable[None]]]] = [
            (10, self._order),
            (8, self._ask),
            (8, self._store),
            (4, self._delete),
            (1, self._top_up),
            (16, self._live),
            (6, self._tick),
            (3, self._turn),
            (8, self._break),
            (5, self._trouble),
            (4, self._host_fails),
            (2, self._blink),
            (2, self._stray),
            (4, self._doom),
            (1, self._crash),
            (3, self._heal),
        ]

    async def begin(self) -> None:
        self.customers = [await self.world.customer("60"), await self.world.customer("1000")]

    async def act(self) -> None:
        weights, acts = zip(*self._acts, strict=True)
        (chosen,) = self.random.choices(acts, weights)
        await chosen()

    async def end(self) -> None:
        """What was away comes back, and the sky clears."""
        for provider, machine in self.away:
            provider.resurrect(machine)
        self._note("calm")
        await self.world.calm()

    # Customers.

    async def _order(self) -> None:
        customer = self.random.choice(self.customers)
        try:
            self.ordered.append(await self.world.order(customer, **self._cargo(customer)))
            self._note(f"order {self.ordered[-1].id} {self.ordered[-1].volume_ids}")
        except Refusal as refusal:
            self._note(f"order refused: {refusal.code}")

    def _cargo(self, customer: make.Customer) -> dict[str, object]:
        """The volumes of an order, now and then."""
        if self.random.random() < 0.6:
            return {}
        free = [
            volume.id
            for volume in self._volumes_of(customer)
            if volume.status is volumes.Status.DETACHED and self.random.random() < 0.3
        ]
        disks = [each.id for each in self._volumes_of(customer) if each.is_os_volume]
        if disks and self.random.random() < 0.5:
            return {"image_slug": disks[0], "existing_volumes": free[:1]}
        fate = self.random.choice(list(Fate))
        return {"volumes": [NewVolume("data", 20, "NVMe", fate)], "existing_volumes": free[:1]}

    def _volumes_of(self, customer: make.Customer) -> Sequence[Volume]:
        return self.world.db.read_now(volumes.live_of, customer.id, limit=50)

    async def _store(self) -> None:
        """Something is asked of a volume, or for a new one."""
        customer = self.random.choice(self.customers)
        known = self._volumes_of(customer)
        if not known or self.random.random() < 0.3:
            self._ask_for(
                "create", instances.create_volume, customer.by, NewVolume("data", 10, "NVMe"), "FIN-01"
            )
            return
        volume, by = self.random.choice(known), customer.by
        host = self.random.choice(self.ordered[-8:] or [None])
        asked = self.random.choice(["attach", "attach", "detach", "resize", "trash", "purge", "clone"])
        if asked == "attach" and host is not None:
            self._ask_for(f"attach {volume.id} to {host.id}", instances.attach_volume, by, volume.id, host.id)
        elif asked == "detach":
            self._ask_for(f"detach {volume.id}", instances.detach_volume, by, volume.id)
        elif asked == "resize":
            self._ask_for(f"resize {volume.id}", volumes.resize, by, volume.id, volume.size_gb + 5)
        elif asked == "trash":
            self._ask_for(f"trash {volume.id}", volumes.trash, by, volume.id)
            if self.random.random() < 0.5:
                self._ask_for(f"restore {volume.id}", volumes.restore, by, volume.id)
        elif asked == "clone":
            self._ask_for(f"clone {volume.id}", instances.clone_volume, by, volume.id)
        elif asked == "purge":
            self._ask_for(f"purge {volume.id}", volumes.purge, by, volume.id)

    def _ask_for(
        self, story: str, verb: Callable[Concatenate[Tx, P], object], /, *args: P.args, **kwargs: P.kwargs
    ) -> None:
        try:
            self.world.act(verb, *args, **kwargs)
            self._note(story)
        except Refusal as refusal:
            self._note(f"{story} refused: {refusal.code}")

    async def _ask(self) -> None:
        world = self.world
        verb = self.random.choice(
            [world.stop, world.stop_keeping, world.stop_spending, world.start, world.start, world.restart]
        )
        self._try(verb)

    async def _delete(self) -> None:
        self._try(self.random.choice([self.world.delete, self.world.hibernate]))

    async def _top_up(self) -> None:
        make.topup(self.world.db, self.random.choice(self.customers).by, "25")

    def _try(self, verb: Callable[[Instance], Instance]) -> None:
        if not self.ordered:
            return
        instance = self.random.choice(self.ordered[-8:])
        try:
            verb(instance)
            self._note(f"{verb.__name__} {instance.id}")
        except Refusal as refusal:
            self._note(f"{verb.__name__} {instance.id} refused: {refusal.code}")

    # Time.

    async def _live(self) -> None:
        seconds = self.random.choice([1, 7, 61, 130, 400, 900])
        self._note(f"live {seconds} s")
        await self.world.live(seconds, step_s=self.random.choice([20, 60, 200]))

    async def _tick(self) -> None:
        name = self.random.choice(list(TICKS))
        self._note(f"tick {name}")
        await self.world.tick(name)

    async def _turn(self) -> None:
        seconds = self.random.choice([0.3, 5, 59, PATIENCE.lease_s + 1, 650])
        self._note(f"turn {seconds} s")
        self.world.turn(seconds)

    # Faults.

    async def _break(self) -> None:
        provider = self.random.choice(self.world.providers)
        verb = self.random.choice(VERBS)
        if verb == "inspect" and self.random.random() < 0.3:
            provider.breaks("inspect", None)
            self._note(f"{provider.name}: inspect will say None once")
            return
        # What certainly did not happen is said before it happens, a lost answer either way.
        is_after = self.random.random() < 0.5
        error: DriverError = OutcomeUnknown("storm")
        if not is_after:
            kinds = [Unreachable("storm"), Refused("storm"), BadCredentials("storm"), NotSupported("storm")]
            error = self.random.choice([*kinds, RateLimited("storm", retry_after_s=20), error])
        if verb == "inspect":
            is_after = False
        times = self.random.choice([1, 1, 2, 12])
        provider.breaks(verb, error, after=is_after, times=times)
        self._note(f"{provider.name}: {verb} fails {times} times, {error!r}, after={is_after}")

    async def _trouble(self) -> None:
        provider = self.random.choice(self.world.providers)
        offers = [offer.provider_offer_id for offer in provider.offers]
        trouble = self.random.choice(
            ["is_partial", "boot_fails", "start_is_refused", "ssh", "boot", "stop", "destroy", "empty", "bad"]
        )
        if trouble == "ssh":
            provider.ssh_s = self.random.choice([None, 0, 40])
        elif trouble == "boot":
            provider.boot_s = self.random.choice([0, 30, 700])
        elif trouble == "stop":
            provider.stop_s = self.random.choice([0, 30])
        elif trouble == "destroy":
            provider.destroy_s = self.random.choice([0, 90])
        elif trouble == "empty":
            provider.secretly_empty ^= {self.random.choice(offers)}
        elif trouble == "bad":
            provider.bad_offers ^= {self.random.choice(offers)}
        else:
            setattr(provider, trouble, not getattr(provider, trouble))
        self._note(f"{provider.name}: {trouble}")

    async def _heal(self) -> None:
        provider = self.random.choice(self.world.providers)
        provider.heals()
        self._note(f"{provider.name} heals")

    # Hosts.

    async def _host_fails(self) -> None:
        found = self._standing()
        if found is None:
            return
        provider, machine = found
        act = self.random.choice([provider.power_off, provider.power_off, provider.power_on, provider.crash])
        self._note(f"{act.__name__} {machine.handle}")
        act(machine.handle)

    async def _blink(self) -> None:
        """Something is away for a while, or is back."""
        if self.away and self.random.random() < 0.5:
            provider, machine = self.away.pop()
            provider.resurrect(machine)
            self._note(f"{machine.handle} is back")
            return
        found = self._standing()
        if found is not None:
            provider, machine = found
            provider.crash(machine.handle)
            self.away.append((provider, machine))
            self._note(f"{machine.handle} is away")

    def _standing(self) -> tuple[Provider, Machine] | None:
        """The machine of something that has run: what disappears while it boots is gone for good."""
        known = [
            (provider, machine)
            for instance in self.ordered
            if self.world.status(instance) in {"running", "offline"}
            for provider in self.world.providers
            for machine in provider.of(instance.id)
        ]
        return self.random.choice(known) if known else None

    async def _stray(self) -> None:
        provider = self.random.choice(self.world.providers)
        label = self.random.choice([None, Label(self.world.install_id, ids.new(self.world.clock.now()))])
        if provider.free(provider.offers[0].provider_offer_id) > 0:
            provider.plant(label)
            self._note(f"{provider.name}: something of {label}")

    # Deaths.

    async def _doom(self) -> None:
        call, is_after = self.random.randrange(1, 12), self.random.random() < 0.5
        self.world.doomed(call, is_after=is_after)
        self._note(f"dies at call {call}, after={is_after}")

    async def _crash(self) -> None:
        self._note("crash")
        self.world.crash()

    def _note(self, act: str) -> None:
        self.story.append(f"{self.world.clock.now() / 1_000_000:.1f}: {act}")
