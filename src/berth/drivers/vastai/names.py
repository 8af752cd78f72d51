"""How GPUs, types and places are called: the one place where the marketplace's spellings become ours."""

import re

_PREFIXES = re.compile(r"^(NVIDIA |Tesla )+", re.IGNORECASE)
_GEFORCE = re.compile(r"^GeForce (?=[RG]TX )", re.IGNORECASE)
_SPACES = re.compile(r"[\s_]+")
_NO_LETTERS = re.compile(r"[^A-Za-z0-9]+")
_COUNTRY = re.compile(r"(?:^|,)\s*([A-Z]{2})\s*$")
UNKNOWN_COUNTRY = "XX"
_MIB_PER_GB = 1024


def gpu(name: str) -> str:
    """`NVIDIA GeForce RTX 4090` and `RTX_4090` are both `RTX 4090`."""
    plain = _SPACES.sub(" ", name).strip()
    return _GEFORCE.sub("", _PREFIXES.sub("", plain))


def vram_gb(mib: int) -> int:
    """What a card is sold with: 24564 MiB are 24 GB, though they are a little less."""
    return (mib + _MIB_PER_GB // 2) // _MIB_PER_GB


def type_of(gpu_name: str, count: int, vram: int) -> str:
    """Of facts about its GPUs alone, for example `1RTX4090.24V`: everything else differs from host to host."""
    return f"{count}{_NO_LETTERS.sub('', gpu_name)}.{vram}V"


def country(geolocation: str) -> str:
    """`Texas, US` is in `US`; where nobody says, in `XX`."""
    found = _COUNTRY.search(geolocation)
    return found.group(1) if found else UNKNOWN_COUNTRY


def host(machine_id: int) -> str:
    return f"vastai-machine-{machine_id}"
