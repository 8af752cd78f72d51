"""What goes wrong at providers, at random: faults, failing hosts, things that are away or that nobody ordered.

What is drawn stays inside what the driver port promises, except for single wrong answers.
"""

from collections.abc import Callable
from random import Random

from berth.base import ids
from berth.base.clock import Clock, Instant
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
from tests import make
from tests.world import truth
from tests.world.parts import VERBS, Disk, Machine
from tests.world.provider import Provider
from tests.world.world import World


class SteadyClock:
    """The time as it passes for providers, who do not notice when our clock is set back."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.ahead = 0
        """Microseconds by which ours was set back so far."""

    def now(self) -> Instant:
        return Instant(self._clock.now() + self.ahead)


def providers(random: Random, clock: Clock) -> list[Provider]:
    """Two that differ: how late they list, whether a stop gives the hardware back, how volumes are attached.

    In half of all worlds they have so little that it is sold out at once.
    """
    built = []
    is_scarce = random.random() < 0.5
    for name in ("sandbox", "other"):
        lag_s = random.choice([0, 0, 15, 90])
        offers = [
            make.offer(
                name=f"{name}-{number}",
                price=f"1.{random.randrange(10, 99)}",
                free=1 if is_scarce else random.randrange(1, 4),
                location="FIN-01" if number == 0 else random.choice(["FIN-01", "FIN-02"]),
            )
            for number in range(1 if is_scarce else random.randrange(1, 4))
        ]
        attaches_live = random.random() < 0.7
        abilities = Abilities(
            stop_releases_hardware=random.random() < 0.7,
            stop_keeps_hardware=random.random() < 0.5,
            ip_may_change=random.random() < 0.5,
            reports_use=random.random() < 0.5,
            volumes=True,
            volumes_attach_live=attaches_live,
            appears_within_s=lag_s,
            keeps_disks=random.random() < 0.7,
            clones_volumes=random.random() < 0.7,
        )
        sold = [
            make.volume_type("NVMe", live=attaches_live),
            make.volume_type("Shared", price="0.35", max_attachments=3, live=attaches_live),
        ]
        built.append(
            Provider(clock, name, offers, volume_types=sold, abilities=abilities, listing_lag_s=lag_s)
        )
    return built


class Weather:
    """Acts on the providers of a world; each act is noted."""

    def __init__(self, world: World, random: Random, note: Callable[[str], None]) -> None:
        self.world = world
        self.random = random
        self.note = note
        self.away: list[tuple[Provider, Machine]] = []
        self.lost: list[tuple[Provider, Disk]] = []
        self.acts: list[tuple[int, Callable[[], None]]] = [
            (8, self.break_call),
            (5, self.trouble),
            (4, self.host_fails),
            (2, self.blink),
            (2, self.stray),
            (1, self.lose_disk),
            (3, self.heal),
        ]

    def act(self) -> None:
        """One thing goes wrong, or is well again."""
        weights, acts = zip(*self.acts, strict=True)
        self.random.choices(acts, weights)[0]()

    def clear(self) -> None:
        """What was away comes back."""
        for provider, machine in self.away:
            provider.resurrect(machine)
        for provider, disk in self.lost:
            provider.disks[disk.handle] = disk
        self.away, self.lost = [], []

    def break_call(self) -> None:
        provider, verb = self._any_provider(), self.random.choice(VERBS)
        if verb == "inspect" and self.random.random() < 0.3:
            provider.breaks("inspect", None)
            self.note(f"{provider.name}: inspect will say None once")
            return
        # What certainly did not happen is said before it happens, a lost answer either way.
        is_after = self.random.random() < 0.5
        error: DriverError = OutcomeUnknown("storm")
        if not is_after:
            kinds = [Unreachable("storm"), Refused("storm"), BadCredentials("storm"), NotSupported("storm")]
            error = self.random.choice([*kinds, RateLimited("storm", retry_after_s=20), error])
        if verb.startswith("inspect"):
            is_after = False
        times = self.random.choice([1, 1, 2, 12])
        provider.breaks(verb, error, after=is_after, times=times)
        self.note(f"{provider.name}: {verb} fails {times} times, {error!r}, after={is_after}")

    def trouble(self) -> None:
        provider = self._any_provider()
        offers = [offer.provider_offer_id for offer in provider.offers]
        kinds = ["is_partial", "boot_fails", "start_is_refused"]
        trouble = self.random.choice([*kinds, "ssh", "boot", "stop", "destroy", "empty", "bad", "idle"])
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
        elif trouble == "idle":
            for machine in provider.alive():
                machine.use_percent = self.random.choice([0, 70])
        else:
            setattr(provider, trouble, not getattr(provider, trouble))
        self.note(f"{provider.name}: {trouble}")

    def heal(self) -> None:
        provider = self._any_provider()
        provider.heals()
        self.note(f"{provider.name} heals")

    def host_fails(self) -> None:
        found = self._standing()
        if found is None:
            return
        provider, machine = found
        act = self.random.choice([provider.power_off, provider.power_off, provider.power_on, provider.crash])
        self.note(f"{act.__name__} {machine.handle}")
        act(machine.handle)

    def blink(self) -> None:
        """Something is away for a while, or is back."""
        if self.away and self.random.random() < 0.5:
            provider, machine = self.away.pop()
            provider.resurrect(machine)
            self.note(f"{machine.handle} is back")
            return
        found = self._standing()
        if found is not None:
            provider, machine = found
            provider.crash(machine.handle)
            self.away.append((provider, machine))
            self.note(f"{machine.handle} is away")

    def stray(self) -> None:
        """Something is there that nobody ordered, ours by its label or nobody's."""
        provider = self._any_provider()
        label = self.random.choice([None, Label(self.world.install_id, ids.new(self.world.clock.now()))])
        if provider.free(provider.offers[0].provider_offer_id) > 0:
            provider.plant(label)
            self.note(f"{provider.name}: something of {label}")

    def lose_disk(self) -> None:
        """A volume that nobody has attached is away for a while, or is back."""
        if self.lost:
            provider, disk = self.lost.pop()
            provider.disks[disk.handle] = disk
            self.note(f"{disk.handle} is back")
            return
        rows = truth.rows(
            self.world.db,
            "SELECT handle FROM volumes WHERE status = 'detached' AND handle IS NOT NULL",
        )
        known = {row[0] for row in rows}
        found = [(each, disk) for each in self.world.providers for disk in each.disks.values()]
        standing = [
            (provider, disk) for provider, disk in found if disk.handle in known and not disk.attached_to
        ]
        if standing:
            provider, disk = self.random.choice(standing)
            self.lost.append((provider, provider.lose_disk(disk.handle)))
            self.note(f"{disk.handle} is away")

    def _standing(self) -> tuple[Provider, Machine] | None:
        """The machine of something that has run: what disappears while it boots is gone for good."""
        handles = {
            row[0]
            for row in truth.rows(
                self.world.db, "SELECT handle FROM instances WHERE status IN ('running', 'offline')"
            )
        }
        known = [
            (provider, machine)
            for provider in self.world.providers
            for machine in provider.alive()
            if machine.handle in handles
        ]
        return self.random.choice(known) if known else None

    def _any_provider(self) -> Provider:
        return self.random.choice(self.world.providers)
