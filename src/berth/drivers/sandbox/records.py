"""The files that describe an instance or a volume on disk: what was asked, which process it became, what is
attached.

All stay out of the instance's reach. Written whole or not at all: temporary file, then rename.
"""

import os
import re
import tempfile
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import msgspec

from berth.core.driver import CreateOrder, Label, Mount, VolumeOrder
from berth.drivers.sandbox.process import ProcessIdentity

MAX_HOST_LABEL = 63
"""The kernel allows 64 bytes; customers may order longer names, in any script."""


class Spec(msgspec.Struct, frozen=True, kw_only=True):
    """`spec.json`: written once, before anything starts."""

    install_id: str
    instance_id: str
    provider_offer_id: str
    hostname: str
    image_slug: str
    location: str
    ssh_user: str
    port: int
    host_key_fingerprint: str
    os_volume_gb: int
    vcpu_count: int
    ram_gb: int
    gpu_count: int
    environment: dict[str, str]
    disk_id: str | None = None
    """What its boot disk is known by, should that outlive it; None: it does not."""
    boots_from: str | None = None
    """The volume that is its boot disk; None: the disk was made with it and lies in its own directory."""

    @classmethod
    def from_order(cls, order: CreateOrder, *, port: int, host_key_fingerprint: str) -> "Spec":
        return cls(
            install_id=order.label.install_id,
            instance_id=order.label.instance_id,
            provider_offer_id=order.provider_offer_id,
            hostname=host_label(order.hostname),
            image_slug=order.image_slug,
            location=order.location,
            ssh_user=order.ssh_user,
            port=port,
            host_key_fingerprint=host_key_fingerprint,
            os_volume_gb=order.os_volume_gb,
            vcpu_count=order.hardware.vcpu_count,
            ram_gb=order.hardware.ram_gb,
            gpu_count=order.hardware.gpu_count,
            environment=dict(order.environment),
            disk_id=order.boot_volume or (None if order.disk_label is None else order.disk_label.instance_id),
            boots_from=order.boot_volume,
        )

    @property
    def label(self) -> Label:
        return Label(self.install_id, self.instance_id)


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """`run.json`: the process that an instance is, or last was."""

    boot_id: str
    pid: int
    start_ticks: int
    outer_pid: int
    port: int
    stop_was_asked: bool = False
    keeps_hardware: bool = False
    """Stopped without giving back what it had."""

    @property
    def is_kept(self) -> bool:
        return self.stop_was_asked and self.keeps_hardware

    @property
    def identity(self) -> ProcessIdentity:
        return ProcessIdentity(boot_id=self.boot_id, pid=self.pid, start_ticks=self.start_ticks)


class Attached(msgspec.Struct, frozen=True):
    """`attached.json`: the volumes of one instance. The only place that says what a volume is attached to."""

    mounts: tuple[Mount, ...] = ()


class Decision(msgspec.Struct, frozen=True):
    """`disk.json`: what the end of an instance does to its boot disk."""

    keeps_disk: bool


class VolumeSpec(msgspec.Struct, frozen=True, kw_only=True):
    """`spec.json` of a volume: written when it is made, and when it grows."""

    install_id: str
    volume_id: str
    name: str
    type: str
    size_gb: int
    location: str
    is_bootable: bool = False
    """It is a boot disk: the root of instances, not something mounted in them."""
    copying_from: str | None = None
    """What it is being made a copy of; None once it is whole."""

    @classmethod
    def from_order(cls, order: VolumeOrder) -> "VolumeSpec":
        return cls(
            install_id=order.label.install_id,
            volume_id=order.label.instance_id,
            name=order.name,
            type=order.type,
            size_gb=order.size_gb,
            location=order.location,
            copying_from=order.source,
        )

    @classmethod
    def of_disk(cls, instance: Spec, volume_type: str) -> "VolumeSpec":
        """Of the boot disk that an instance leaves behind."""
        assert instance.disk_id is not None
        return cls(
            install_id=instance.install_id,
            volume_id=instance.disk_id,
            name=instance.hostname,
            type=volume_type,
            size_gb=instance.os_volume_gb,
            location=instance.location,
            is_bootable=True,
        )

    def booting(self, *, is_bootable: bool) -> "VolumeSpec":
        return msgspec.structs.replace(self, is_bootable=is_bootable)

    def copied(self) -> "VolumeSpec":
        return msgspec.structs.replace(self, copying_from=None)

    def resized(self, size_gb: int) -> "VolumeSpec":
        return msgspec.structs.replace(self, size_gb=size_gb)

    @property
    def label(self) -> Label:
        return Label(self.install_id, self.volume_id)


Record = TypeVar("Record", Spec, Run, Attached, Decision, VolumeSpec)


def host_label(hostname: str) -> str:
    """The name that an instance has inside: what is left of `hostname` in letters that every program takes."""
    plain = unicodedata.normalize("NFKD", hostname).encode("ascii", "ignore").decode()
    parts = (re.sub(r"[^A-Za-z0-9_]+", "-", part).strip("-_") for part in plain.split("."))
    return ".".join(filter(None, parts))[:MAX_HOST_LABEL].rstrip(".-_") or "instance"


def read_spec(directory: Path) -> Spec | None:
    """The spec in `directory`, or None when there is none that can be read."""
    return _read(directory / "spec.json", Spec)


def read_run(directory: Path) -> Run | None:
    return _read(directory / "run.json", Run)


def read_mounts(directory: Path) -> tuple[Mount, ...]:
    """The volumes attached to the instance in `directory`."""
    attached = _read(directory / "attached.json", Attached)
    return () if attached is None else attached.mounts


def read_volume(directory: Path) -> VolumeSpec | None:
    return _read(directory / "spec.json", VolumeSpec)


def write_spec(directory: Path, spec: Spec | VolumeSpec) -> None:
    replace_file(directory / "spec.json", msgspec.json.encode(spec))


def write_run(directory: Path, run: Run) -> None:
    replace_file(directory / "run.json", msgspec.json.encode(run))


def write_mounts(directory: Path, mounts: Iterable[Mount]) -> None:
    replace_file(directory / "attached.json", msgspec.json.encode(Attached(tuple(mounts))))


def write_decision(directory: Path, *, keeps_disk: bool) -> None:
    """Decides, before the instance in `directory` is condemned, what becomes of its boot disk."""
    replace_file(directory / "disk.json", msgspec.json.encode(Decision(keeps_disk)))


def read_decision(directory: Path) -> Decision | None:
    """None while nothing is decided, or nothing is left to be done: then no disk is touched."""
    return _read(directory / "disk.json", Decision)


def forget_run(directory: Path) -> None:
    (directory / "run.json").unlink(missing_ok=True)


def replace_file(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Puts `content` at `path` in one step: readers see the old file or the new one, never a part."""
    # The directory may be writable by an instance: a fresh unguessable name cannot be its symbolic link.
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            # By descriptor: an instance may have put a link in the place of the file meanwhile.
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)  # noqa: PTH105
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _read(path: Path, kind: type[Record]) -> Record | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
        return None
