"""docs/metrics.md names what is measured, and nothing else."""

import re
from pathlib import Path

from berth.core import measures
from tests.base.test_meters import samples
from tests.faces.shopper.conftest import Broker

DOCUMENT = Path(__file__).parents[3] / "docs" / "metrics.md"
ELSEWHERE = re.compile(r"berth_(loop|database)_\w+")
"""What only a whole process has: see tests/processes/test_shopper.py."""


def families(names: set[str]) -> set[str]:
    return {re.sub(r"_(bucket|count|sum)$", "", name) for name in names}


async def test_the_document_names_every_measure(broker: Broker) -> None:
    rows = [line for line in DOCUMENT.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    written = {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    await broker.client.get("/health")
    made = families({key[0] for key in samples((await broker.client.get("/metrics")).content)})
    standing = {"gpu_sessions_active", "gpu_cost_accrued_usd", "berth_instances"}  # told where there are some
    known = {measure.name for measure in measures.ALL} | made | standing
    assert {name for name in written if not ELSEWHERE.fullmatch(name)} == known
