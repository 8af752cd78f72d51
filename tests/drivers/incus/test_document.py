"""The commands of "Run your own GPU hosts", executed as they are written, on three fresh members in namespaces."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.drivers.incus import cluster as clusters
from tests.drivers.incus.cluster import Cluster, Member
from tests.drivers.incus.rig import fingerprint

pytestmark = [pytest.mark.xdist_group("incus"), pytest.mark.timeout(600)]
DOCUMENT = Path(__file__).parents[3] / "docs" / "own-hosts.md"
CONFIG = """
[incus]
project = "berth"
[[incus.types]]
name = "CPU.1V.1G"
vcpu_count = 1
ram_gb = 1
usd_per_hour = "0.02"
"""


def blocks(heading: str) -> list[str]:
    """The commands below a heading, in the order in which they stand there."""
    section = DOCUMENT.read_text().split(f"{heading}\n", 1)[1]
    return re.findall(r"```sh\n(.*?)```", re.split(r"\n#{2,3} ", section)[0], re.DOTALL)


def run(cluster: Cluster, member: Member, commands: str, **replaced: str) -> str:
    for number, each in enumerate(cluster.members, start=1):
        commands = commands.replace(f"10.0.0.1{number}", each.ip)
    for word, text in replaced.items():
        assert word in commands
        commands = commands.replace(word, text)
    directory = cluster.directory
    (directory / "bin").mkdir(exist_ok=True)
    berth = directory / "bin" / "berth"
    berth.write_text(f'#!/bin/sh\nexec {sys.executable} -m berth "$@"\n')
    berth.chmod(0o755)
    answer = subprocess.run(
        ["sh", "-ec", commands],
        cwd=directory,
        env={
            "PATH": f"{berth.parent}:{os.environ['PATH']}",
            "HOME": str(directory),
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
            "INCUS_DIR": str(member.directory),
            "INCUS_CONF": str(directory / "client"),
            "BERTH_CONFIG": str(directory / "berth.toml"),
            "BERTH_DATA_DIR": str(directory / "data"),
            "BERTH_INCUS_SOCKET": str(member.socket),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr + answer.stdout
    return answer.stdout


def test_a_cluster_is_made_trusted_and_serviced_as_the_document_says() -> None:
    reason = clusters.missing()
    if reason is not None:
        assert os.environ.get("BERTH_REQUIRE_ALL") != "1", reason
        pytest.skip(reason)
    with clusters.free_slot() as slot:
        cluster = Cluster(slot)
        cluster.end()
        try:
            cluster.start(forms=False)
            first, second, _ = cluster.members
            (cluster.directory / "berth.toml").write_text(CONFIG)
            found, joined = blocks("## A cluster")
            token = run(cluster, first, found).strip().splitlines()[-1]
            run(cluster, second, joined, TOKEN=token)
            ours, trusted = blocks("### Berth's certificate")
            run(cluster, first, ours)
            assert fingerprint(cluster) in run(cluster, first, trusted)
            (guarded,) = blocks("## GPUs")
            assert run(cluster, second, guarded) == "gpu1 has 0.\ngpu2 has 0.\n"
            evacuated, restored = blocks("## Service a host")
            announced = run(cluster, second, evacuated.replace("--in 3600", "--in 1"))
            assert announced.startswith("0 instances leave gpu2 at ")
            assert "EVACUATED" in cluster.incus(first, "cluster", "list", "-f", "csv")
            assert run(cluster, second, restored) == "gpu2 takes part again.\n"
            assert "EVACUATED" not in cluster.incus(first, "cluster", "list", "-f", "csv")
        finally:
            cluster.end()
