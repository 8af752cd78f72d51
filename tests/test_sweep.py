"""A start waits for every provider to be looked at, and not for ever for one that cannot be."""

import asyncio
from dataclasses import replace
from pathlib import Path

from structlog.testing import capture_logs

from berth import app
from berth.base.clock import SystemClock
from berth.settings import Sandbox, Settings, Verda
from tests.processes.running import free_port
from tests.world.provider import Provider


async def test_one_provider_that_cannot_be_reached_keeps_nothing_from_being_ready_for_long(
    tmp_path: Path,
) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}/v1"
    verda = Verda(base_url=nowhere, client_id="c", client_secret="s")
    process = app.build(Settings(data_dir=tmp_path, sandbox=Sandbox(is_enabled=False), verda=verda))
    with capture_logs() as log:
        await process.start()
        try:
            readiness = process.context.readiness
            assert process.runner.world.readiness is readiness
            assert readiness.waits_for == {"verda"}
            waiting = process._patience
            assert waiting is not None
            assert 0 < waiting.when() - asyncio.get_running_loop().time() <= 120
            process._stop_waiting()
            assert readiness.is_ready
        finally:
            await process.stop()
    assert waiting.cancelled()
    assert readiness.is_draining
    [warning] = [entry for entry in log if entry["event"] == "sweep_not_complete"]
    assert (warning["log_level"], warning["providers"]) == ("warning", ["verda"])


async def test_a_provider_that_cannot_be_let_go_of_keeps_nothing_from_the_other_replicas(
    tmp_path: Path,
) -> None:
    built = app.build(Settings(data_dir=tmp_path, sandbox=Sandbox(is_enabled=False)))
    process = replace(built, drivers={"stubborn": Stubborn(SystemClock())})
    given_back = []

    async def give_back() -> None:
        given_back.append("lease")

    process.runner.world.unfinished.append(give_back)
    with capture_logs() as log:
        await process.stop()
    assert given_back == ["lease"]
    assert [entry["provider"] for entry in log if entry["event"] == "driver_not_closed"] == ["stubborn"]


class Stubborn(Provider):
    async def close(self) -> None:
        raise OSError("the connection is in a bad way")


async def test_with_no_provider_at_all_there_is_nothing_to_wait_for(tmp_path: Path) -> None:
    process = app.build(Settings(data_dir=tmp_path, sandbox=Sandbox(is_enabled=False)))
    assert process.context.readiness.is_ready
    await process.start()
    await process.stop()
