"""The Incus driver over a real cluster of three, which it reaches as an operator would: with a certificate of one project."""

import asyncio
import contextlib
import fcntl
import hashlib
import os
import platform
import shutil
import ssl
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from berth.base import clock, ids
from berth.core.driver import CreateOrder, Label, Place, Sighting, VolumeOrder
from berth.drivers.incus import ImageSold, IncusConfig, IncusDriver, Location, TypeSold, image, translate
from berth.drivers.incus.image import Built
from tests.drivers.incus import cluster as clusters
from tests.drivers.incus.cluster import Cluster, Member

PROJECT = "berth"
IMAGE = "debian-12"
INSTALL_ID = "test1"
PLACE = Place("LAB-01", "Laboratory", "FI")
LOGIN_LIMIT_S = 30.0
SMALL = TypeSold("CPU.1V.1G", vcpu_count=1, ram_gb=1, price_micros_per_hour=28_000)
CARD = TypeSold(
    "1H100.1V",
    vcpu_count=1,
    ram_gb=1,
    price_micros_per_hour=1_710_000,
    gpu_model="H100",
    gpu_count=1,
    gpu_vram_gb=80,
)


class IncusRig:
    def __init__(self, cluster: Cluster, **settings: Any) -> None:
        self.cluster = cluster
        self._drivers: list[IncusDriver] = []
        self.install_id = f"{INSTALL_ID}{os.getpid()}"
        self.key = asyncssh.generate_private_key("ssh-ed25519")
        config = IncusConfig(
            types=(SMALL, CARD),
            images=(ImageSold(IMAGE, "Debian 12", "Debian 12", "12", "debian", is_default=True),),
            locations=(Location(PLACE, frozenset(member.name for member in cluster.members)),),
            addresses=tuple(member.address for member in cluster.members),
            certificate=cluster.directory / "ours.crt",
            key=cluster.directory / "ours.key",
            server_fingerprint=fingerprint(cluster),
            project=PROJECT,
            reserved_ram_gb=1,
        )
        self.config = replace(config, **settings)

    def driver(self, **settings: Any) -> IncusDriver:
        driver = IncusDriver(replace(self.config, **settings))
        self._drivers.append(driver)
        return driver

    def order(self, sold: TypeSold = SMALL, **changes: Any) -> CreateOrder:
        order = CreateOrder(
            label=self.label(),
            provider_offer_id=translate.offer_id(sold.name, PLACE.code),
            hardware=translate.hardware(sold),
            hostname="trainer",
            image_slug=IMAGE,
            ssh_user="root",
            location=PLACE.code,
            ssh_public_keys=[self.key.export_public_key().decode()],
            os_volume_gb=10,
        )
        return replace(order, **changes)

    def volume(self, *, is_shared: bool = False, **changes: Any) -> VolumeOrder:
        assert not is_shared
        return replace(VolumeOrder(self.label(), "data", "NVMe", 1, PLACE.code), **changes)

    async def run(self, sighting: Sighting, command: str) -> str:
        """Logs in from outside, as soon as the server answers and within a limit, and runs `command`."""
        deadline = time.monotonic() + LOGIN_LIMIT_S
        while True:
            try:
                connection = await asyncssh.connect(
                    str(sighting.ip),
                    sighting.ssh_port or 22,
                    username="root",
                    client_keys=[self.key],
                    known_hosts=None,
                    config=None,
                    agent_path=None,
                    login_timeout=LOGIN_LIMIT_S,
                )
            except asyncssh.PermissionDenied:
                raise
            except (OSError, asyncssh.Error):
                assert time.monotonic() < deadline, f"no login at {sighting}"
                await asyncio.sleep(0.05)
                continue
            async with connection:
                answer = await connection.run(command, check=True)
                return str(answer.stdout)

    def label(self) -> Label:
        return Label(self.install_id, ids.new(clock.SystemClock().now()))

    async def empty(self) -> None:
        """Ends whatever a test left."""
        driver = self.driver()
        try:
            listing = await driver.list_own(self.install_id)
            await asyncio.gather(*(driver.destroy(each.handle) for each in listing.sightings))
            volumes = await driver.list_own_volumes(self.install_id)
            await asyncio.gather(*(driver.destroy_volume(each.handle) for each in volumes.sightings))
        finally:
            for each in self._drivers:
                await each.close()


class Shared:
    """The cluster of this process, started when the first test asks for it and ended with the last."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._cluster: Cluster | None = None

    def cluster(self) -> Cluster:
        """Skips the test, or fails it where nothing may be skipped, on a machine that can have none."""
        if self._cluster is None:
            reason = clusters.missing()
            if reason is not None:
                assert os.environ.get("BERTH_REQUIRE_ALL") != "1", reason
                pytest.skip(reason)
            self._cluster = self._stack.enter_context(prepared())
        return self._cluster

    def end(self) -> None:
        self._cluster = None
        self._stack.close()


SHARED = Shared()


@contextlib.contextmanager
def prepared() -> Iterator[Cluster]:
    """A cluster with our project, our certificate trusted for it alone, and an image."""
    with clusters.running() as cluster:
        first = cluster.members[0]
        cluster.incus(
            first,
            "project",
            "create",
            PROJECT,
            "-c",
            "features.images=false",
            "-c",
            "features.profiles=false",
        )
        certificate(cluster.directory, "ours")
        cluster.incus(
            first,
            "config",
            "trust",
            "add-certificate",
            str(cluster.directory / "ours.crt"),
            "--restricted",
            "--projects",
            PROJECT,
        )
        # Found to be away sooner than after its twenty seconds.
        cluster.incus(first, "config", "set", "cluster.offline_threshold=11")
        asyncio.run(_publish(first, debian()))
        yield cluster


async def _publish(member: Member, built: Built) -> None:
    driver = IncusDriver(IncusConfig(types=(), images=(), socket=member.socket))
    try:
        await image.publish(driver.client, built, IMAGE)
    finally:
        await driver.close()


def debian() -> Built:
    """Built once on this machine, as `berth incus image` does, and again whenever it would come out differently."""
    recipe = hashlib.sha256(Path(image.__file__).read_bytes()).hexdigest()[:16]
    directory = Path("/var/tmp") / f"berth-incus-image-{recipe}"
    with Path(f"{directory}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not directory.exists():
            with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="berth-incus-image-") as made:
                asyncio.run(
                    image.build(Path(made), release=platform.freedesktop_os_release()["VERSION_CODENAME"])
                )
                shutil.copytree(made, f"{directory}.new", dirs_exist_ok=True)
            Path(f"{directory}.new").rename(directory)
    return Built(directory / "metadata.tar", directory / "root.squashfs")


def certificate(directory: Path, name: str, *, days: int = 30) -> None:
    """A key and a certificate of its own, `<name>.key` and `<name>.crt`. With negative `days` it has expired."""
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    ends_at = datetime.now(UTC) + timedelta(days=days)
    made = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(ends_at - timedelta(days=365))
        .not_valid_after(ends_at)
        .sign(key, hashes.SHA256())
    )
    (directory / f"{name}.crt").write_bytes(made.public_bytes(Encoding.PEM))
    (directory / f"{name}.key").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )


def fingerprint(cluster: Cluster) -> str:
    pem = (cluster.members[0].directory / "cluster.crt").read_text()
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()


@contextlib.asynccontextmanager
async def open_incus(_directory: Path | None = None, **settings: Any) -> AsyncIterator[IncusRig]:
    # Not in the event loop, which its own steps need.
    rig = IncusRig(await asyncio.to_thread(SHARED.cluster), **settings)
    try:
        yield rig
    finally:
        await rig.empty()
