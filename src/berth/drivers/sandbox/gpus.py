"""The NVIDIA cards of this host and the device nodes that grant them. Not binding a node denies it."""

import contextlib
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from berth.core.driver import Refused

_CARDS = Path("/proc/driver/nvidia/gpus")
_QUERY = Path("/usr/bin/nvidia-smi")
_QUERY_LIMIT_S = 10
_SHARED_NODES = ("/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools")
_BRANDS = re.compile(
    r"\b(NVIDIA|GeForce|Tesla|Quadro)\b|-?\bSXM\d?\b|\bPCIe\b|-?\b\d+GB\b|\bGeneration\b|\bHBM\d\w?\b"
)


@dataclass(frozen=True, slots=True)
class Card:
    uuid: str
    model: str
    """Without brand and memory, for example `H100` or `RTX 4090`."""
    product: str
    """As the vendor calls it."""
    vram_gb: int
    node: str


def detect() -> tuple[Card, ...]:
    """The cards of this host, none when there is no driver."""
    memory = _memory()
    cards = []
    with contextlib.suppress(OSError):
        for directory in sorted(_CARDS.iterdir()):
            card = read_card((directory / "information").read_text(), memory)
            if card is not None:
                cards.append(card)
    return tuple(cards)


def read_card(information: str, memory_gb: dict[str, int]) -> Card | None:
    """Reads one `information` file of the driver. `memory_gb` is by UUID; 0 where it is not known."""
    fields = {
        name.strip(): value.strip()
        for name, _, value in (line.partition(":") for line in information.splitlines())
    }
    try:
        uuid, product, minor = fields["GPU UUID"], fields["Model"], int(fields["Device Minor"])
    except (KeyError, ValueError):
        return None
    model = " ".join(_BRANDS.sub(" ", product).split())
    return Card(
        uuid=uuid, model=model, product=product, vram_gb=memory_gb.get(uuid, 0), node=f"/dev/nvidia{minor}"
    )


def nodes(cards: list[Card]) -> list[str]:
    """The device nodes that grant `cards`. Raises Refused when one is missing: never silently no GPU."""
    wanted = [card.node for card in cards] + list(_SHARED_NODES[:2])
    missing = [node for node in wanted if not Path(node).exists()]
    if missing:
        raise Refused(
            f"device nodes are missing: {missing}", reason="The host's GPU is not usable at the moment."
        )
    return wanted + [node for node in _SHARED_NODES[2:] if Path(node).exists()]


def _memory() -> dict[str, int]:
    """Memory in GB by UUID, as far as the vendor's tool is there to tell."""
    if not _QUERY.exists():
        return {}
    try:
        answer = subprocess.run(
            [str(_QUERY), "--query-gpu=uuid,memory.total", "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=_QUERY_LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    found = {}
    for line in answer.stdout.splitlines():
        uuid, _, megabytes = line.partition(",")
        if megabytes.strip().isdecimal():
            found[uuid.strip()] = round(int(megabytes) / 1024)
    return found
