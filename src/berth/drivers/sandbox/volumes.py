"""Volumes, as plain blocking code: directories that outlive the instances they are mounted in.

What is attached is on the instance's own record and nowhere else, so one written file attaches or detaches.
Only an instance that is down is attached to or detached from: what its programs have open cannot be taken
from them (docs/decisions/0020).
"""

import contextlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from berth.base import ids
from berth.core.driver import (
    Mount,
    NoCapacity,
    ProviderVolumeType,
    Refused,
    VolumeListing,
    VolumeOrder,
    VolumeSighting,
)
from berth.drivers.sandbox import process, records, storage, trees
from berth.drivers.sandbox.config import SandboxConfig
from berth.drivers.sandbox.layout import VolumeBind
from berth.drivers.sandbox.records import Spec, VolumeSpec
from berth.drivers.sandbox.shelf import LOCK
from berth.drivers.sandbox.store import Store

MAX_MOUNTS = 32
"""How many volumes one instance may have."""
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_PATH = re.compile(r"(/(?!\.{1,2}(?:/|$))[A-Za-z0-9._-]{1,64}){1,8}")
_TAKEN = frozenset("bin boot dev etc lib lib32 lib64 libx32 proc root run sbin sys tmp usr var".split())
"""What an instance has of its own or of the host: nothing is mounted there, or below."""
DISK_PARTS = ("root", "usr.up", "usr.work")


@dataclass(frozen=True, slots=True)
class Source:
    """What a copy is made of."""

    directory: Path
    is_bootable: bool


class Volumes:
    def __init__(self, config: SandboxConfig, store: Store) -> None:
        self._config = config
        self._store = store
        self._shelf = store.volumes
        self._capacity_gb = None if config.simulate else storage.measure_gb(store.state_dir)

    def types(self) -> Sequence[ProviderVolumeType]:
        return storage.types(self._config, self._capacity_gb)

    def create(self, order: VolumeOrder) -> VolumeSighting:
        volume_id = order.label.instance_id
        if order.label.install_id != self._config.install_id or not ids.is_id(volume_id):
            raise Refused(f"not a label of this installation: {order.label}")
        with self._store.locked():
            if self._shelf.deleting(volume_id).exists():
                raise Refused(f"volume {volume_id} is being destroyed")
            if not self._shelf.directory(volume_id).exists():
                self._check_size(order.type, order.location, order.size_gb)
                spec = VolumeSpec.from_order(order)
                if order.source is not None:
                    spec = spec.booting(is_bootable=self.source(order.source).is_bootable)
                self._make(spec)
        sighting = self.inspect(order.label.install_id, volume_id)
        if sighting is None:
            raise Refused(f"volume {volume_id} was destroyed while it was created")
        return sighting

    def inspect(self, install_id: str, volume_id: str) -> VolumeSighting | None:
        spec = self._find(volume_id)
        if spec is None or spec.install_id != install_id:
            return None
        return _see(spec, self._attachments())

    def list_own(self, install_id: str) -> VolumeListing:
        attachments = self._attachments()
        specs = (self._find(volume_id) for volume_id in self._shelf.ids())
        own = (spec for spec in specs if spec is not None and spec.install_id == install_id)
        return VolumeListing(tuple(_see(spec, attachments) for spec in own), is_complete=True)

    def attach(self, instance_id: str, mount: Mount) -> None:
        with self._held(instance_id) as instance:
            if instance is None:
                raise Refused(f"no instance {instance_id!r}", reason="The instance does not exist any more.")
            directory = self._store.instances.directory(instance_id)
            mounts = records.read_mounts(directory)
            if mount in mounts:
                return
            self._require_down(instance)
            with self._store.locked():
                self.check(instance, [*mounts, mount])
                records.write_mounts(directory, [*mounts, mount])

    def detach(self, instance_id: str, volume_id: str) -> None:
        with self._held(instance_id) as instance:
            if instance is None:
                return
            directory = self._store.instances.directory(instance_id)
            mounts = records.read_mounts(directory)
            left = [mount for mount in mounts if mount.volume_handle != volume_id]
            if len(left) < len(mounts):
                self._require_down(instance)
                records.write_mounts(directory, left)

    def resize(self, volume_id: str, size_gb: int) -> None:
        with self._store.locked():
            spec = self._whole(volume_id)
            if size_gb < spec.size_gb:
                raise Refused(
                    f"volume {volume_id} has {spec.size_gb} GB", reason="A volume cannot be made smaller."
                )
            if size_gb > spec.size_gb:
                self._check_size(spec.type, spec.location, size_gb, now_gb=spec.size_gb)
                records.write_spec(self._shelf.directory(volume_id), spec.resized(size_gb))

    def condemn(self, volume_id: str) -> None:
        """Ends the volume for good; its files are then `remove_condemned`'s. Safe to repeat."""
        if not ids.is_id(volume_id):
            return
        with self._store.locked():
            directory = self._shelf.directory(volume_id)
            if directory.exists():
                if self._attachments().get(volume_id):
                    raise Refused(f"volume {volume_id} is attached", reason="The volume is attached.")
                directory.rename(self._shelf.deleting(volume_id))

    def condemned_ids(self) -> list[str]:
        return self._shelf.condemned_ids()

    def remove_condemned(self, volume_id: str) -> None:
        if self._shelf.deleting(volume_id).exists():
            self._shelf.remove_condemned(volume_id)

    def deleting(self, volume_id: str) -> Path:
        return self._shelf.deleting(volume_id)

    def directory(self, volume_id: str) -> Path:
        return self._shelf.directory(volume_id)

    def source(self, handle: str) -> Source:
        """What `handle` is, to copy it: a volume, or the boot disk of an instance. Raises Refused while it is in use."""
        spec = self._find(handle)
        if spec is not None:
            spec = self._whole(handle)
            if any(handle in living.volumes for living in process.scan(self._config.install_id).values()):
                raise _in_use(handle)
            return Source(self._shelf.directory(handle), spec.is_bootable)
        for instance_id in self._store.instances.ids():
            directory = self._store.instances.directory(instance_id)
            instance = records.read_spec(directory)
            if instance is not None and instance.disk_id == handle and instance.boots_from is None:
                self._require_down(instance)
                return Source(directory, is_bootable=True)
        raise _unknown(handle)

    def copied(self, volume_id: str) -> None:
        """The copy is whole."""
        with self._store.locked():
            spec = self._find(volume_id)
            if spec is not None:
                records.write_spec(self._shelf.directory(volume_id), spec.copied())

    def check_disk(self, instance: Spec) -> None:
        """Raises Refused unless `instance` can boot from what it is to boot from. Only under the state's lock."""
        if instance.boots_from is None:
            return
        spec = self._whole(instance.boots_from)
        if not spec.is_bootable:
            raise Refused(
                f"volume {spec.volume_id} is no boot disk", reason="The volume cannot be booted from."
            )
        if spec.location != instance.location:
            reason = "The volume is in another location than the instance."
            raise Refused(f"volume {spec.volume_id} is in {spec.location}", reason=reason)
        if self._attachments().get(spec.volume_id, set()) - {instance.instance_id}:
            raise _in_use(spec.volume_id)

    def adopt(self, instance: Spec, directory: Path) -> None:
        """Makes the boot disk in the condemned `directory` a volume, by moving it. Safe to repeat at any point."""
        assert instance.disk_id is not None
        with self._store.locked():
            packed, target = directory / "disk", self._shelf.directory(instance.disk_id)
            if target.exists() or not (packed.exists() or (directory / "root").exists()):
                return  # done, or done and ended since
            packed.mkdir(mode=0o700, exist_ok=True)
            for part in DISK_PARTS:
                if (directory / part).exists():
                    (directory / part).rename(packed / part)
            (packed / LOCK).touch(mode=0o600)
            records.write_spec(packed, VolumeSpec.of_disk(instance, self._config.volume_medium))
            packed.rename(target)

    def check(self, instance: Spec, mounts: Iterable[Mount]) -> None:
        """Raises Refused unless `instance` can have all of `mounts`. Only under the state's lock."""
        attachments = self._attachments()
        names: set[str] = set()
        handles: set[str] = set()
        points: list[PurePosixPath] = []
        for mount in mounts:
            if not _NAME.fullmatch(mount.name) or mount.name in {".", ".."}:
                raise Refused(f"not a name of a mount: {mount.name!r}")
            if mount.name in names or mount.volume_handle in handles:
                reason = "Another volume of this name is attached to the instance."
                raise Refused(f"{mount.name} or {mount.volume_handle} is there already", reason=reason)
            _check_point(mount, points)
            self._check_volume(instance, mount.volume_handle, attachments)
            points.append(_point(mount))
            names.add(mount.name)
            handles.add(mount.volume_handle)
        if len(names) > MAX_MOUNTS:
            reason = f"An instance here has at most {MAX_MOUNTS} volumes."
            raise Refused(f"{len(names)} volumes", reason=reason)

    def binds(self, instance: Spec) -> list[VolumeBind]:
        """What is mounted in `instance` when it starts. Only under its lock."""
        found = []
        for mount in records.read_mounts(self._store.instances.directory(instance.instance_id)):
            self._get(mount.volume_handle)
            content = self._shelf.directory(mount.volume_handle) / "content"
            found.append(VolumeBind(content, _point(mount)))
        return found

    @contextlib.contextmanager
    def _held(self, instance_id: str) -> Iterator[Spec | None]:
        """The instance, under its lock; None when there is none."""
        if not ids.is_id(instance_id):
            yield None
            return
        with self._store.instance_locked(instance_id) as exists:
            yield records.read_spec(self._store.instances.directory(instance_id)) if exists else None

    def _make(self, spec: VolumeSpec) -> None:
        """Puts the volume's directory in place, in one step."""
        creating = self._shelf.creating(spec.volume_id)
        trees.remove_tree(creating)
        try:
            creating.mkdir(mode=0o700)
            (creating / LOCK).touch(mode=0o600)
            if spec.copying_from is None:
                (creating / "content").mkdir(mode=0o755)
            records.write_spec(creating, spec)
            creating.rename(self._shelf.directory(spec.volume_id))
        except BaseException:
            trees.remove_tree(creating)
            raise

    def _check_size(self, type_name: str, location: str, size_gb: int, *, now_gb: int = 0) -> None:
        kind = next(
            (kind for kind in self.types() if (kind.name, kind.place.code) == (type_name, location)), None
        )
        if kind is None:
            reason = "This type of volume is not sold here."
            raise Refused(f"no {type_name} in {location}", reason=reason)
        if not kind.min_size_gb <= size_gb <= kind.max_size_gb:
            reason = f"A volume of this type has {kind.min_size_gb} to {kind.max_size_gb} GB."
            raise Refused(f"{type_name} of {size_gb} GB", reason=reason)
        specs = (self._find(volume_id) for volume_id in self._shelf.ids())
        sold_gb = sum(spec.size_gb for spec in specs if spec is not None)
        if self._capacity_gb is not None and sold_gb - now_gb + size_gb > self._capacity_gb:
            raise NoCapacity(
                f"{sold_gb} of {self._capacity_gb} GB are sold", reason="The host's storage is sold out."
            )

    def _check_volume(self, instance: Spec, volume_id: str, attachments: Mapping[str, set[str]]) -> None:
        spec = self._whole(volume_id)
        if spec.is_bootable:
            raise Refused(f"volume {volume_id} is a boot disk", reason="A boot disk cannot be attached.")
        if spec.location != instance.location:
            reason = "The volume is in another location than the instance."
            raise Refused(f"volume {volume_id} is in {spec.location}", reason=reason)
        others = attachments.get(volume_id, set()) - {instance.instance_id}
        if len(others) >= storage.max_attachments(spec.type):
            reason = "The volume is attached to another instance."
            raise Refused(f"volume {volume_id} is attached to {sorted(others)}", reason=reason)

    def _require_down(self, instance: Spec) -> None:
        run = records.read_run(self._store.instances.directory(instance.instance_id))
        is_up = run is not None and process.is_alive(run.identity)
        if is_up or instance.instance_id in process.scan(instance.install_id):
            reason = "Stop the instance first: volumes here come and go only while it is stopped."
            raise Refused(f"instance {instance.instance_id} is running", reason=reason)

    def _attachments(self) -> dict[str, set[str]]:
        """By volume, the instances that have it: on record, or alive with it whatever the records say."""
        found: defaultdict[str, set[str]] = defaultdict(set)
        for instance_id in self._store.instances.ids():
            directory = self._store.instances.directory(instance_id)
            for mount in records.read_mounts(directory):
                found[mount.volume_handle].add(instance_id)
            spec = records.read_spec(directory)
            if spec is not None and spec.boots_from is not None:
                found[spec.boots_from].add(instance_id)
        for instance_id, living in process.scan(self._config.install_id).items():
            for volume_id in living.volumes:
                found[volume_id].add(instance_id)
        return found

    def _find(self, volume_id: str) -> VolumeSpec | None:
        return records.read_volume(self._shelf.directory(volume_id)) if ids.is_id(volume_id) else None

    def _get(self, volume_id: str) -> VolumeSpec:
        spec = self._find(volume_id)
        if spec is None:
            raise _unknown(volume_id)
        return spec

    def _whole(self, volume_id: str) -> VolumeSpec:
        spec = self._get(volume_id)
        if spec.copying_from is not None:
            raise Refused(f"volume {volume_id} is being copied", reason="The volume is not whole yet.")
        return spec


def _point(mount: Mount) -> PurePosixPath:
    """Where it is mounted, below the instance's root."""
    return PurePosixPath("mnt", mount.name) if mount.path is None else PurePosixPath(mount.path.lstrip("/"))


def _check_point(mount: Mount, others: Iterable[PurePosixPath]) -> None:
    point = _point(mount)
    is_path = mount.path is None or _PATH.fullmatch(mount.path) is not None
    if not is_path or point.parts[0] in _TAKEN:
        raise Refused(f"nothing is mounted at {mount.path!r}", reason="Nothing can be mounted there.")
    for other in others:
        if point.is_relative_to(other) or other.is_relative_to(point):
            reason = "One volume cannot be mounted in another."
            raise Refused(f"/{point} and /{other} are one below the other", reason=reason)


def _unknown(volume_id: str) -> Refused:
    return Refused(f"no volume {volume_id!r}", reason="The volume does not exist on its host any more.")


def _in_use(volume_id: str) -> Refused:
    return Refused(
        f"volume {volume_id} is in use", reason="An instance has the volume; stop or end it first."
    )


def _see(spec: VolumeSpec, attachments: Mapping[str, set[str]]) -> VolumeSighting:
    return VolumeSighting(
        label=spec.label,
        handle=spec.volume_id,
        size_gb=spec.size_gb,
        attached_to=frozenset(attachments.get(spec.volume_id, ())),
        is_ready=spec.copying_from is None,
    )
