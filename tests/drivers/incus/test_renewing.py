"""A certificate that is renewed on the disk, over TLS: shown from the next connection on, and never half of it."""

import asyncio
import hashlib
import os
import shutil
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from berth.core.driver import DriverError
from berth.drivers.incus import IncusConfig, IncusDriver, Location
from tests.drivers.incus.acting import PLACE, PLAIN
from tests.drivers.incus.engine import Engine, reached
from tests.drivers.incus.rig import certificate


@asynccontextmanager
async def a_driver_that_is_trusted_as(name: str, directory: Path) -> AsyncIterator[IncusDriver]:
    """One that shows `ours`, before a cluster that lets in nobody but `name`."""
    for each in ("cluster", "ours", "renewed"):
        certificate(directory, each)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "cluster.crt", directory / "cluster.key")
    context.load_verify_locations(directory / f"{name}.crt")
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    pinned = ssl.PEM_cert_to_DER_cert((directory / "cluster.crt").read_text())
    async with reached(Engine({"gpu1": []}), context) as address:
        driver = IncusDriver(
            IncusConfig(
                types=(PLAIN,),
                images=(),
                locations=(Location(PLACE, frozenset({"gpu1"})),),
                addresses=[f"https://127.0.0.1:{address.port}"],
                certificate=directory / "ours.crt",
                key=directory / "ours.key",
                server_fingerprint=hashlib.sha256(pinned).hexdigest(),
                timeout_s=2.0,
            )
        )
        try:
            yield driver
        finally:
            await driver.close()


def test_a_renewed_certificate_is_shown_without_a_restart(tmp_path: Path) -> None:
    async def whole() -> None:
        async with a_driver_that_is_trusted_as("renewed", tmp_path) as driver:
            with pytest.raises(DriverError):
                await driver.client.get("/1.0")
            for kind in ("key", "crt"):
                shutil.copy(tmp_path / f"renewed.{kind}", tmp_path / f"ours.{kind}")
            assert await driver.client.get("/1.0")

    asyncio.run(whole())


@pytest.mark.parametrize("half", ["key", "crt"])
def test_half_of_a_renewal_leaves_what_was_shown_before(tmp_path: Path, half: str) -> None:
    async def whole() -> None:
        async with a_driver_that_is_trusted_as("ours", tmp_path) as driver:
            assert await driver.client.get("/1.0")
            shutil.copy(tmp_path / f"renewed.{half}", tmp_path / f"ours.{half}")
            assert await driver.client.get("/1.0")
            (tmp_path / f"ours.{half}").unlink()
            assert await driver.client.get("/1.0")

    asyncio.run(whole())


def test_however_often_it_is_renewed_no_more_than_two_certificates_are_in_use(tmp_path: Path) -> None:
    async def whole() -> None:
        async with a_driver_that_is_trusted_as("ours", tmp_path) as driver:
            used = []
            for turn in range(4):
                os.utime(tmp_path / "ours.crt", ns=(turn, turn))
                assert await driver.client.get("/1.0")
                used.append(driver.client._session)
            assert [session is None or session.closed for session in used] == [True, True, False, False]

    asyncio.run(whole())
