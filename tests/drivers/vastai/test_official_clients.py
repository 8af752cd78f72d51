"""The official client of the service, as a library and as a program, takes the stand-in for the real one."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.drivers.vastai.account import API_KEY
from tests.drivers.vastai.rig import KEY
from tests.drivers.vastai.service import Service, serving

LIMIT_S = 60
WALK = """
import json, sys
from vastai import VastAI

key, out = sys.argv[1], {}
client = VastAI(api_key=None, retry=1)
offers = client.search_offers(query="num_gpus=1 gpu_name=RTX_4090 gpu_ram>=20", order="dph_total", limit=5)
out["offers"] = offers
out["new"] = client.search_offers_new(query="num_gpus=1")
ask = offers[0]["ask_contract_id"]
made = client.create_instance(
    ask, image="nvidia/cuda:12.6.3-runtime-ubuntu22.04", disk=32, env="-p 8000:8000 -e MODEL=x", label="mine",
    ssh=True, direct=True,
)
out["made"] = made
handle = made["new_contract"]
out["listed"] = [client.show_instances() for _ in range(3)][-1]
out["shown"] = client.show_instance(handle)
out["attached"] = client.attach_ssh(handle, key)
out["labelled"] = client.label_instance(handle, "mine too")
out["page"] = client.show_instances_v1({"select_filters": {"label": {"in": ["mine too"]}}, "limit": 1})
out["url"] = client.ssh_url(handle)
out["stopped"] = client.stop_instance(handle)
out["off"] = client.show_instance(handle)
out["started"] = client.start_instance(handle)
client.show_instance(handle)
out["on"] = client.show_instance(handle)
out["rebooted"] = client.reboot_instance(handle)
out["templates"] = client.search_templates({"recommended": {"eq": True}})
out["user"] = client.show_user()
out["destroyed"] = client.destroy_instance(handle)
out["gone"] = client.show_instance(handle)
print(json.dumps(out))
"""

PROGRAM = """
import json, os, sys
from vastai.cli.main import main

for line in sys.stdin:
    read, write = os.pipe()
    if not (child := os.fork()):
        os.close(read)
        os.dup2(write, 1)
        os.dup2(write, 2)
        sys.argv = ["vastai", *json.loads(line)]
        try:
            sys.exit(main())
        finally:
            sys.stdout.flush()
    os.close(write)
    with open(read, encoding="utf-8") as end:
        said = end.read()
    _, status = os.waitpid(child, 0)
    print(json.dumps([os.waitstatus_to_exitcode(status), said]), flush=True)
"""
"""The program, loaded once and forked for each command: it takes seconds to load."""


class Program:
    """Runs `vastai` with the words of each command."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def __call__(self, *words: str) -> tuple[int, str]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(words).encode() + b"\n")
        await self._process.stdin.drain()
        line = await asyncio.wait_for(self._process.stdout.readline(), LIMIT_S)
        status, said = json.loads(line)
        return int(status), str(said)

    async def raw(self, *words: str) -> Any:
        status, said = await self(*words, "--raw")
        assert status == 0, said
        return json.loads(said)


@asynccontextmanager
async def program(environment: dict[str, str]) -> AsyncIterator[Program]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM),
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=16 * 1024 * 1024,
    )
    try:
        yield Program(process)
    finally:
        process.kill()
        await process.wait()


def surroundings(directory: Path, url: str, key: str = API_KEY) -> dict[str, str]:
    """Nothing of whoever runs the tests: no key, no address, no look for updates."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(directory),
        "XDG_CONFIG_HOME": str(directory / ".config"),
        "XDG_CACHE_HOME": str(directory / ".cache"),
        "VAST_URL": url,
        "VAST_API_KEY": key,
        "VASTAI_NO_UPDATE_CHECK": "1",
        "NO_COLOR": "1",
    }


async def called(*command: str, environment: dict[str, str]) -> str:
    process = await asyncio.create_subprocess_exec(
        *command,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), LIMIT_S)
    assert process.returncode == 0, (command, out.decode(), err.decode())
    return out.decode()


def serve(test: Callable[[Service, str], Awaitable[None]]) -> None:
    async def whole() -> None:
        service = Service(offers=30)
        async with serving(service) as url:
            await test(service, url)

    asyncio.run(whole())


def test_the_library_buys_uses_and_ends_an_instance(tmp_path: Path) -> None:
    async def test(service: Service, url: str) -> None:
        said = await called(sys.executable, "-c", WALK, KEY, environment=surroundings(tmp_path, url))
        out: dict[str, Any] = json.loads(said.splitlines()[-1])
        assert {offer["gpu_name"] for offer in out["offers"]} == {"RTX 4090"}
        assert {offer["num_gpus"] for offer in out["new"]} == {1}
        handle = out["made"]["new_contract"]
        assert [row["id"] for row in out["listed"]] == [handle]
        assert (out["shown"]["actual_status"], out["shown"]["label"]) == ("running", "mine")
        assert (out["shown"]["extra_env"], out["shown"]["image_runtype"]) == (
            {"-p 8000:8000": "1", "MODEL": "x"},
            "ssh ssh_direc ssh_proxy",
        )
        assert out["attached"]["success"]
        assert [row["label"] for row in out["page"]["instances"]] == ["mine too"]
        assert out["url"].startswith("ssh://root@127.0.0.1:")
        assert (out["off"]["actual_status"], out["on"]["actual_status"]) == ("exited", "running")
        assert [template["name"] for template in out["templates"]] == ["vLLM", "Ollama"]
        assert "api_key" not in out["user"]
        assert (out["destroyed"]["success"], out["gone"]) == (True, None)
        bill = service.bills()[0]
        assert bill["destroyed_at"] is not None
        assert bill["ran_us"] > 0

    serve(test)


def test_the_program_buys_uses_and_ends_an_instance(tmp_path: Path) -> None:
    async def test(service: Service, url: str) -> None:
        async with program(surroundings(tmp_path, url)) as vastai:
            offers = await vastai.raw("search", "offers", "num_gpus=1 gpu_name=RTX_4090", "-o", "dph")
            assert {offer["gpu_name"] for offer in offers} == {"RTX 4090"}
            made = await vastai.raw(
                *(
                    "create",
                    "instance",
                    str(offers[0]["id"]),
                    "--image",
                    "nvidia/cuda:12.6.3-runtime-ubuntu22.04",
                ),
                *("--disk", "32", "--ssh", "--direct", "--label", "mine"),
            )
            handle = str(made["new_contract"])
            await vastai.raw("show", "instances")
            listed = await vastai.raw("show", "instances")
            assert [str(row["id"]) for row in listed] == [handle]
            shown = await vastai.raw("show", "instance", handle)
            assert (shown["actual_status"], shown["label"], shown["disk_space"]) == ("running", "mine", 32.0)
            _, said = await vastai("ssh-url", handle)
            assert said.strip().endswith(f":{service.contracts[int(handle)].host_port}")
            assert "True" in (await vastai("attach", "ssh", handle, KEY))[1]
            assert (await vastai("label", "instance", handle, "mine too"))[0] == 0
            assert "stopping" in (await vastai("stop", "instance", handle))[1]
            assert (await vastai.raw("show", "instance", handle))["actual_status"] == "exited"
            assert "starting" in (await vastai("start", "instance", handle))[1]
            await vastai.raw("show", "instance", handle)
            shown = await vastai.raw("show", "instance", handle)
            assert (shown["actual_status"], shown["label"]) == ("running", "mine too")
            assert "destroying" in (await vastai("destroy", "instance", handle, "-y"))[1]
            assert await vastai.raw("show", "instance", handle) == {"instances": None}
            assert not service.contracts[int(handle)].is_there

    serve(test)


def test_the_program_shows_errors_as_the_service_words_them(tmp_path: Path) -> None:
    async def test(_service: Service, url: str) -> None:
        async with program(surroundings(tmp_path, url)) as vastai:
            for words, status in (
                (("show", "user", "--api-key", "wrong"), 404),
                (("destroy", "instance", "7", "-y"), 404),
                (("create", "instance", "7", "--image", "x"), 410),
                (("create", "instance", "7", "--image", "x", "--api-key", "wrong"), 404),
            ):
                _, said = await vastai(*words, "--raw")
                found = json.loads(said[said.index("{") :])
                assert (found["error"], found["status_code"]) == (True, status)
                assert found["msg"]

    serve(test)
