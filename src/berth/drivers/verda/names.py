"""How what is ours is named at Verda, so that it is found again, and only ours.

An instance carries its label as its description, and SSH keys and startup scripts made for it carry it as their name. A
volume is named for its label, and a boot disk for its instance's label and what it is for.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from berth.core.driver import Label


class Disk(StrEnum):
    """What a boot disk is for."""

    MACHINE = "os"
    """It belongs to an instance: one that is there, or one whose machine was given away and that starts from it again."""
    SPOT = "spot"
    """It belongs to a spot instance. Should that be taken away, the disk is no machine that could be started."""
    KEPT = "kept"
    """It outlived its instance and is a volume now."""


_MARKS = {Disk.MACHINE: ".", Disk.SPOT: "-"}
_BOTH = re.compile(r"([0-9a-z]+)-([0-9A-HJKMNP-TV-Z]{26})([.-])([0-9A-HJKMNP-TV-Z]{26})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class DiskName:
    """What the name of a boot disk says."""

    label: Label
    """Of its instance."""
    disk: Disk
    own: Label | None = None
    """What it is to be found by should it outlive that: then it is named as any other volume.

    Until then the name has both labels and as little else as can be: 64 characters are all that is sure to be taken.
    """

    def __str__(self) -> str:
        if self.own is None:
            return f"{self.label}.{self.disk.value}"
        if self.disk is Disk.KEPT:
            return str(self.own)
        return f"{self.label.install_id}-{self.label.instance_id}{_MARKS[self.disk]}{self.own.instance_id}"


def disk_of(name: str) -> DiskName | None:
    """Whose boot disk it is, and what for; None for what is not one of any Berth's."""
    if both := _BOTH.fullmatch(name):
        install_id, instance_id, mark, own_id = both.groups()
        disk = next(disk for disk, its_mark in _MARKS.items() if its_mark == mark)
        return DiskName(Label(install_id, instance_id.upper()), disk, own=Label(install_id, own_id.upper()))
    text, _, kind = name.rpartition(".")
    label = Label.parse(text)
    if label is None or kind not in set(Disk):
        return None
    return DiskName(label, Disk(kind))


def is_of(label: Label | None, install_id: str) -> bool:
    """Whether this installation made it."""
    return label is not None and label.install_id == install_id


def is_same(one: Label | None, other: Label) -> bool:
    return one == other


_HOSTNAME_LIMIT = 63


def hostname(wanted: str, label: Label) -> str:
    """What comes closest to `wanted` and is a host name: ASCII letters, digits and dashes."""
    kept = "".join(
        character if character.isascii() and character.isalnum() else "-" for character in wanted.lower()
    )
    parts = [part for part in kept.split("-") if part]
    return "-".join(parts)[:_HOSTNAME_LIMIT].strip("-") or f"berth-{label.instance_id.lower()}"
