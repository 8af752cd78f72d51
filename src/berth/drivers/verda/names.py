"""How what is ours is named at Verda, so that it is found again, and only ours.

An instance carries its label as its description, and SSH keys and startup scripts made for it carry it as their name. A
volume is named for its label. A boot disk is named for its instance's label and what it is for:

- `.os` belongs to an instance: one that is there, or one whose machine was given away and that starts from it again.
- `.spot` belongs to a spot instance. Should that be taken away, the disk is no machine that could be started.
- `.kept` outlived its instance and is a volume now.
"""

from enum import StrEnum

from berth.core.driver import Label


class Disk(StrEnum):
    """What a boot disk is for."""

    MACHINE = "os"
    SPOT = "spot"
    KEPT = "kept"


def disk_name(label: Label, disk: Disk) -> str:
    return f"{label}.{disk.value}"


def disk_of(name: str) -> tuple[Label, Disk] | None:
    """Whose boot disk it is, and what for; None for what is not one of any Berth's."""
    text, _, kind = name.rpartition(".")
    label = Label.parse(text)
    if label is None or kind not in set(Disk):
        return None
    return label, Disk(kind)


def is_of(label: Label | None, install_id: str) -> bool:
    """Whether this installation made it. Some services change the case of names."""
    return label is not None and label.install_id.casefold() == install_id.casefold()


def is_same(one: Label | None, other: Label) -> bool:
    return one is not None and str(one).casefold() == str(other).casefold()


_HOSTNAME_LIMIT = 63


def hostname(wanted: str, label: Label) -> str:
    """What comes closest to `wanted` and is a host name: ASCII letters, digits and dashes."""
    kept = "".join(
        character if character.isascii() and character.isalnum() else "-" for character in wanted.lower()
    )
    parts = [part for part in kept.split("-") if part]
    return "-".join(parts)[:_HOSTNAME_LIMIT].strip("-") or f"berth-{label.instance_id.lower()}"
