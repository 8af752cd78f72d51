"""A provider in memory whose faults are switched on at will; it outlives every crash of the control plane.

It is a bad one on purpose: asked twice to create it makes two, it lists late, and it keeps what nobody deletes.
Time is the test's clock. Its truth (`machines`, `made`) is for asserting, never for the control plane.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from berth.base.clock import SECOND, Clock, Instant
from berth.core.driver import (
    Abilities,
    Catalogue,
    CreateOrder,
    Label,
    Listing,
    Mount,
    NoCapacity,
    NotSupported,
    Power,
    ProviderClusterType,
    ProviderImage,
    ProviderOffer,
    ProviderTemplate,
    ProviderVolumeType,
    Refused,
    Sighting,
    Unreachable,
    VolumeListing,
    VolumeOrder,
    VolumeSighting,
)
from tests import make
from tests.world.parts import VERBS, Disk, Fault, Machine

FOREVER = 10**9
_NEVER = Instant(10**18)


@dataclass
class Provider:
    """Implements `Driver`. Faults are members to set, or calls to `breaks`."""

    clock: Clock
    name: str = make.PROVIDER
    offers: list[ProviderOffer] = field(default_factory=lambda: [make.offer()])
    images: list[ProviderImage] = field(default_factory=lambda: [make.image()])
    volume_types: list[ProviderVolumeType] = field(default_factory=lambda: [make.volume_type()])
    cluster_types: list[ProviderClusterType] = field(default_factory=list)
    kept_templates: list[ProviderTemplate] = field(default_factory=list)
    abilities: Abilities = field(default_factory=lambda: Abilities(volumes=True))
    capacity: dict[str, int] = field(default_factory=dict)
    """Units in all, by offer; those that are not named have what the offer says."""
    secretly_empty: set[str] = field(default_factory=set)
    """Offers listed as free that nobody can create from."""
    listing_lag_s: float = 0
    is_partial: bool = False
    """Listings lack everything and say that they are not complete."""
    unlisted: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)
    """Handles of instances whose host is not heard from."""
    """Handles that its listings forget, and call themselves complete all the same."""
    boot_s: float = 0
    ssh_s: float | None = 0
    """Seconds from power to an SSH server that answers; None: never."""
    lets_in: bool = True
    """Whether its SSH servers let in those whose key was ordered."""
    is_healthy: bool = True
    """Whether servers of images' own commands answer."""
    tells_its_meter: bool = False
    """It says for how long instances have been running: since they were made."""
    boot_fails: bool = False
    bad_offers: set[str] = field(default_factory=set)
    """Offers whose hardware boots nothing."""
    stop_s: float = 0
    destroy_s: float = 0
    copy_s: float = 0
    start_is_refused: bool = False
    is_idempotent: bool = False
    """Whether a create that repeats a label finds the first machine."""
    machines: dict[str, Machine] = field(default_factory=dict)
    made: list[Machine] = field(default_factory=list)
    """Every machine ever, the gone ones too."""
    disks: dict[str, Disk] = field(default_factory=dict)
    disks_made: list[Disk] = field(default_factory=list)
    """Every volume ever, the gone ones too."""
    faults: list[Fault] = field(default_factory=list)

    def breaks(self, verb: str, error: BaseException | None, *, after: bool = False, times: int = 1) -> Fault:
        """The next `times` calls of `verb` fail with `error`, or, with None, answer wrongly."""
        assert verb in VERBS
        fault = Fault(verb, error, after, times)
        self.faults.append(fault)
        return fault

    def heals(self) -> None:
        """From now on it does what it promises."""
        self.faults.clear()
        self.secretly_empty.clear()
        self.bad_offers.clear()
        self.unlisted.clear()
        self.lets_in = self.is_healthy = True
        self.lost.clear()
        self.is_partial = self.boot_fails = self.start_is_refused = False
        self.boot_s = self.stop_s = self.destroy_s = self.copy_s = 0
        self.ssh_s = 0
        for machine in self.alive():
            if machine.answers_at > self._later(FOREVER // 2):
                machine.answers_at = self.clock.now()

    # What a test knows, and does, behind everybody's back.

    def alive(self, label: Label | None = None) -> list[Machine]:
        """What exists now, or what exists now with `label`."""
        self._pass_time()
        return [machine for machine in self.machines.values() if label is None or machine.label == label]

    def of(self, instance_id: str) -> list[Machine]:
        """The machines of one order that exist now."""
        return [each for each in self.alive() if each.label and each.label.instance_id == instance_id]

    def made_for(self, instance_id: str) -> list[Machine]:
        return [each for each in self.made if each.label and each.label.instance_id == instance_id]

    def free(self, offer: str) -> int:
        """Units of `offer` that could be created from."""
        listed = next(each.free_units for each in self.offers if each.provider_offer_id == offer)
        return self.capacity.get(offer, listed) - sum(
            self._occupies(machine, offer) for machine in self.alive()
        )

    def power_off(self, handle: str) -> None:
        """It stops by itself, for example with its host."""
        self._do(self.machines[handle], Power.STOPPED)

    def power_on(self, handle: str) -> None:
        self._do(self.machines[handle], Power.RUNNING)

    def crash(self, handle: str) -> None:
        """It is gone without anybody having asked."""
        del self.machines[handle]

    def resurrect(self, machine: Machine) -> None:
        """What was gone is there again, for example with a storage that was away."""
        self.machines[machine.handle] = machine

    def plant(self, label: Label | None, *, offer: str | None = None) -> Machine:
        """Something is there that nobody of us created."""
        return self._make(label, offer or self.offers[0].provider_offer_id)

    def disks_of(self, volume_id: str) -> list[Disk]:
        """The disks of one volume that exist now."""
        return [each for each in self.disks.values() if each.label and each.label.instance_id == volume_id]

    def plant_disk(self, label: Label | None) -> Disk:
        """A volume is there that nobody of us created."""
        return self._make_disk(label, 10, attaches_live=True)

    def lose_disk(self, handle: str) -> Disk:
        """It is gone without anybody having asked."""
        return self.disks.pop(handle)

    # What a control plane may ask.

    async def catalogue(self) -> Catalogue:
        self._raise("catalogue")
        offers = [
            replace(offer, free_units=max(0, self.free(offer.provider_offer_id))) for offer in self.offers
        ]
        self._raise("catalogue", is_after=True)
        return Catalogue(offers, self.images, self.volume_types, self.cluster_types)

    async def templates(self) -> Sequence[ProviderTemplate]:
        self._raise("templates")
        return self.kept_templates

    async def create(self, order: CreateOrder) -> Sighting:
        self._raise("create")
        known = self.alive(order.label)
        if known and self.is_idempotent:
            if known[0].until == _NEVER:
                self._boot(known[0])
            return self._sighting(known[0])
        if order.provider_offer_id in self.secretly_empty or self.free(order.provider_offer_id) < 1:
            raise NoCapacity(f"{self.name}: nothing left of {order.provider_offer_id}")
        disks = [self._disk(mount.volume_handle) for mount in order.mounts]
        boot = None if order.boot_volume is None else self._disk(order.boot_volume)
        if boot is not None and boot.attached_to & set(self.machines):
            raise Refused(f"{self.name}: {boot.handle} is attached to {boot.attached_to}")
        machine = self._make(order.label, order.provider_offer_id)
        self._give_disk(machine, order, boot)
        machine.ports = {port: 40_000 + port for port in order.launch.ports} if order.launch else {}
        for disk in disks:
            disk.attached_to.add(machine.handle)
        try:
            self._raise("create", is_after=True)
        except BaseException:
            if self.abilities.finishes_creates:
                machine.power, machine.until = Power.CREATING, _NEVER
            raise
        return self._sighting(machine)

    async def inspect(self, label: Label, handle: str | None) -> Sighting | None:
        fault = self._raise("inspect")
        if fault is not None:
            return None
        visible = [machine for machine in self.alive() if self._is_visible(machine)]
        for machine in visible:
            if machine.handle == handle or (handle is None and machine.label == label):
                if machine.handle in self.lost:
                    raise Unreachable(f"{self.name}: the host of {handle} does not answer")
                return self._sighting(machine)
        return None

    async def list_own(self, install_id: str) -> Listing:
        self._raise("list_own")
        sightings = [
            self._sighting(machine)
            for machine in self.alive()
            if self._is_visible(machine) and not self.is_partial and machine.handle not in self.unlisted
        ]
        self._raise("list_own", is_after=True)
        return Listing(sightings, is_complete=not self.is_partial)

    async def start(self, handle: str, order: CreateOrder | None = None) -> None:
        self._raise("start")
        machine = self._existing(handle)
        if self.start_is_refused:
            raise NoCapacity(f"{self.name}: the hardware of {handle} went to somebody else")
        if machine.power in {Power.STOPPED, Power.FAILED}:
            if not machine.is_kept and self.free(machine.offer) < 1:
                raise NoCapacity(f"{self.name}: nothing left of {machine.offer}")
            if self.abilities.ip_may_change and not machine.is_kept:
                machine.ip = f"198.51.100.{len(self.made)}"
            machine.is_kept = self._keeps_by_itself
            self._boot(machine)
        self._raise("start", is_after=True)

    async def stop(self, handle: str, *, release: bool = True) -> None:
        self._raise("stop")
        machine = self._existing(handle)
        can_keep = self.abilities.stop_keeps_hardware or not self.abilities.stop_releases_hardware
        machine.is_kept = can_keep and not release
        if machine.power not in {Power.STOPPED, Power.STOPPING, Power.DELETING}:
            self._do(machine, Power.STOPPING, seconds=self.stop_s, becomes=Power.STOPPED)
        self._raise("stop", is_after=True)

    async def restart(self, handle: str) -> None:
        self._raise("restart")
        self._boot(self._existing(handle))
        self._raise("restart", is_after=True)

    async def destroy(self, handle: str, *, keep_disk: bool = False) -> None:
        if keep_disk and not self.abilities.keeps_disks:
            raise NotSupported(f"{self.name} keeps no disks")
        self._raise("destroy")
        if handle in self.lost:
            raise Unreachable(f"{self.name}: the host of {handle} does not answer")
        self._pass_time()
        machine = self.machines.get(handle)
        # What it does not list yet it knows nothing of, and says that nothing is left.
        if machine is not None and self._is_visible(machine) and machine.power is not Power.DELETING:
            machine.keeps_disk = keep_disk
            self._do(machine, Power.DELETING, seconds=self.destroy_s, becomes=None)
        self._raise("destroy", is_after=True)

    async def create_volume(self, order: VolumeOrder) -> VolumeSighting:
        self._raise("create_volume")
        known = [disk for disk in self.disks.values() if disk.label == order.label]
        if known and self.is_idempotent:
            return self._disk_sighting(known[0])
        sold = [each for each in self.volume_types if each.name == order.type]
        if not sold:
            raise Refused(f"{self.name}: no {order.type}")
        if order.source is not None and not self.abilities.clones_volumes:
            raise NotSupported(f"{self.name} copies no volumes")
        if order.source is not None and order.source not in self._copyable():
            raise Refused(f"{self.name}: no {order.source}")
        disk = self._make_disk(order.label, order.size_gb, attaches_live=sold[0].attaches_live)
        disk.copied_from = order.source
        disk.ready_at = self._later(0 if order.source is None else self.copy_s)
        self._raise("create_volume", is_after=True)
        return self._disk_sighting(disk)

    async def inspect_volume(self, label: Label, handle: str | None) -> VolumeSighting | None:
        if self._raise("inspect_volume") is not None:
            return None
        for disk in self._visible_disks():
            if disk.handle == handle or (handle is None and disk.label == label):
                return self._disk_sighting(disk)
        return None

    async def list_own_volumes(self, install_id: str) -> VolumeListing:
        self._raise("list_own_volumes")
        sightings = [
            self._disk_sighting(disk)
            for disk in self._visible_disks()
            if not self.is_partial and disk.handle not in self.unlisted
        ]
        self._raise("list_own_volumes", is_after=True)
        return VolumeListing(sightings, is_complete=not self.is_partial)

    async def attach_volume(self, instance_handle: str, mount: Mount) -> None:
        self._raise("attach_volume")
        self._change(instance_handle, mount.volume_handle).attached_to.add(instance_handle)
        self._raise("attach_volume", is_after=True)

    async def detach_volume(self, instance_handle: str, volume_handle: str) -> None:
        self._raise("detach_volume")
        if instance_handle in self._disk(volume_handle).attached_to:
            self._change(instance_handle, volume_handle).attached_to.discard(instance_handle)
        self._raise("detach_volume", is_after=True)

    async def resize_volume(self, handle: str, size_gb: int) -> None:
        self._raise("resize_volume")
        disk = self._disk(handle)
        if size_gb < disk.size_gb:
            raise Refused(f"{self.name}: {handle} has more than that")
        disk.size_gb = size_gb
        self._raise("resize_volume", is_after=True)

    async def destroy_volume(self, handle: str) -> None:
        self._raise("destroy_volume")
        disk = self.disks.get(handle)
        if disk is not None and disk.attached_to & set(self.machines):
            raise Refused(f"{self.name}: {handle} is attached to {disk.attached_to}")
        if disk is not None and self._is_visible_disk(disk):
            del self.disks[handle]
        self._raise("destroy_volume", is_after=True)

    async def close(self) -> None:
        """Nothing to let go of."""

    def _make(self, label: Label | None, offer: str) -> Machine:
        number = len(self.made) + 1
        now = self.clock.now()
        machine = Machine(
            f"{self.name}-{number}",
            label,
            offer,
            f"192.0.2.{number}" if number < 256 else f"2001:db8::{number:x}",
            now,
            Power.CREATING,
            now,
            now,
            is_kept=self._keeps_by_itself,
        )
        self._boot(machine)
        self.machines[machine.handle] = machine
        self.made.append(machine)
        return machine

    def _give_disk(self, machine: Machine, order: CreateOrder, boot: Disk | None) -> None:
        """What it boots from: a new disk is no volume before its machine is gone."""
        if not self.abilities.keeps_disks:
            return
        if boot is None:
            handle = f"{machine.handle}-root"
            boot = Disk(handle, order.disk_label, order.os_volume_gb, False, self.clock.now())
        boot.attached_to.add(machine.handle)
        machine.disk = boot

    def _copyable(self) -> set[str]:
        off = {Power.STOPPED} if not self.abilities.clones_live else {Power.STOPPED, Power.RUNNING}
        roots = {each.disk.handle for each in self.alive() if each.disk is not None and each.power in off}
        return roots | set(self.disks)

    def _part(self, machine: Machine) -> None:
        """The machine is gone: its disk stays, or not."""
        if machine.disk is None:
            return
        machine.disk.attached_to.clear()
        if machine.keeps_disk:
            self.disks[machine.disk.handle] = machine.disk
        else:
            self.disks.pop(machine.disk.handle, None)

    def _make_disk(self, label: Label | None, size_gb: int, *, attaches_live: bool) -> Disk:
        handle = f"{self.name}-disk-{len(self.disks_made) + 1}"
        disk = Disk(handle, label, size_gb, attaches_live, self.clock.now())
        self.disks[handle] = disk
        self.disks_made.append(disk)
        return disk

    def _disk(self, handle: str) -> Disk:
        if handle not in self.disks:
            raise Refused(f"{self.name}: no {handle}")
        return self.disks[handle]

    def _change(self, instance_handle: str, volume_handle: str) -> Disk:
        """The disk, if it may be attached to, or detached from, that machine now."""
        disk, machine = self._disk(volume_handle), self._existing(instance_handle)
        if machine.power is not Power.STOPPED and not disk.attaches_live:
            raise Refused(f"{self.name}: {instance_handle} is on")
        return disk

    def _visible_disks(self) -> list[Disk]:
        return [disk for disk in self.disks.values() if self._is_visible_disk(disk)]

    def _is_visible_disk(self, disk: Disk) -> bool:
        return disk.made_at + self.listing_lag_s * SECOND <= self.clock.now()

    def _disk_sighting(self, disk: Disk) -> VolumeSighting:
        is_ready = disk.ready_at <= self.clock.now()
        return VolumeSighting(
            disk.label, disk.handle, disk.size_gb, frozenset(disk.attached_to), is_ready=is_ready
        )

    def _boot(self, machine: Machine) -> None:
        becomes = Power.FAILED if self.boot_fails or machine.offer in self.bad_offers else Power.RUNNING
        self._do(machine, Power.CREATING, seconds=self.boot_s, becomes=becomes)
        self._pass_time_of(machine)

    def _do(
        self, machine: Machine, power: Power, *, seconds: float = 0, becomes: Power | None = Power.RUNNING
    ) -> None:
        machine.power = power
        machine.until = self._later(seconds)
        machine.becomes = becomes
        machine.answers_at = self._later(seconds + (FOREVER if self.ssh_s is None else self.ssh_s))

    def _pass_time(self) -> None:
        for machine in list(self.machines.values()):
            self._pass_time_of(machine)

    def _pass_time_of(self, machine: Machine) -> None:
        is_on_its_way = machine.power in {Power.CREATING, Power.STOPPING, Power.DELETING}
        if is_on_its_way and machine.until <= self.clock.now():
            if machine.becomes is None:
                self.machines.pop(machine.handle, None)
                for disk in self.disks.values():
                    disk.attached_to.discard(machine.handle)
                self._part(machine)
            else:
                machine.power = machine.becomes

    def _occupies(self, machine: Machine, offer: str) -> bool:
        is_released = machine.power is Power.STOPPED and not machine.is_kept
        return machine.offer == offer and not is_released

    @property
    def _keeps_by_itself(self) -> bool:
        """What is switched off with its host, or by its owner from inside, keeps what a plain stop would."""
        return not self.abilities.stop_releases_hardware

    def _is_visible(self, machine: Machine) -> bool:
        return machine.made_at + self.listing_lag_s * SECOND <= self.clock.now()

    def _existing(self, handle: str) -> Machine:
        self._pass_time()
        if handle not in self.machines:
            raise Refused(f"{self.name}: no {handle}")
        return self.machines[handle]

    def _sighting(self, machine: Machine) -> Sighting:
        is_on = machine.power is Power.RUNNING
        reason = "The image does not boot." if machine.power is Power.FAILED else None
        return Sighting(
            machine.label,
            machine.handle,
            machine.power,
            ip=machine.ip if is_on else None,
            ssh_port=22 if is_on else None,
            ssh_user="root" if is_on else None,
            reason=reason,
            disk_handle=None if machine.disk is None else machine.disk.handle,
            use_percent=machine.use_percent if is_on and self.abilities.reports_use else None,
            evicts_at=machine.evicts_at,
            ports=dict(machine.ports) if is_on else {},
            created_at=None if machine.cost_per_hour is None else machine.made_at,
            cost_micros_per_hour=machine.cost_per_hour,
            running_for_us=self.clock.now() - machine.made_at if is_on and self.tells_its_meter else None,
            is_unreachable=machine.handle in self.lost,
        )

    def _raise(self, verb: str, *, is_after: bool = False) -> Fault | None:
        """Raises what is to go wrong with this call now; a fault without an error comes back."""
        for fault in self.faults:
            if fault.verb == verb and fault.is_after == is_after and fault.times > 0:
                fault.times -= 1
                if fault.error is None:
                    return fault
                raise fault.error
        return None

    def _later(self, seconds: float) -> Instant:
        return Instant(self.clock.now() + int(seconds * SECOND))
