"""How what is ours is named at TensorDock, so that it is found again, and only ours.

A virtual machine carries its label as its name. One that was given an address of its own has `-ip` after that: nothing
else that the API says tells whether port 22 of its address is its own or that of the host that it shares.
"""

from berth.core.driver import Label

_OWN_ADDRESS = "-ip"


def name_of(label: Label, *, has_own_ip: bool) -> str:
    return f"{label}{_OWN_ADDRESS if has_own_ip else ''}"


def label_of(name: str) -> Label | None:
    """The label in a name; None for what is not one of any Berth's."""
    return Label.parse(name.removesuffix(_OWN_ADDRESS))


def has_own_ip(name: str) -> bool:
    return name.endswith(_OWN_ADDRESS)
