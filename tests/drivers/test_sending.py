"""What may not be sent any more is not sent, however late that turns out."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from berth.base import permits
from berth.drivers import sending


class Ended(Exception):
    pass


def after(looks: int) -> Callable[[], None]:
    """A check that says yes so often, and no from then on."""
    left = iter(range(looks))

    def check() -> None:
        if next(left, None) is None:
            raise Ended

    return check


@asynccontextmanager
async def server() -> AsyncIterator[tuple[str, list[str]]]:
    """Its address, and the method of each request that came in."""
    seen: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.method)
        await request.read()
        return web.Response()

    app = web.Application()
    app.add_routes([web.route("*", "/", answer)])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"http://{host}:{port}/", seen
    finally:
        await runner.cleanup()


@asynccontextmanager
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(trace_configs=[sending.looking()]) as opened:
        yield opened


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
@pytest.mark.parametrize("is_connected", [True, False])
async def test_what_is_forbidden_once_it_is_connected_is_not_sent(method: str, is_connected: bool) -> None:
    async with server() as (url, seen), session() as http:
        if is_connected:
            await (await http.get(url)).read()
            seen.clear()
        with permits.under(after(0)), pytest.raises(Ended):
            await http.request(method, url, json={}, trace_request_ctx=True)
        assert seen == []
        await (await http.request(method, url, json={}, trace_request_ctx=True)).read()
        assert seen == [method]


async def test_what_is_forbidden_when_its_body_is_to_follow_is_not_sent() -> None:
    async with server() as (url, seen), session() as http:
        with permits.under(after(1)), pytest.raises(aiohttp.ClientConnectionError):
            await http.post(url, json={"a": 1}, trace_request_ctx=True)
        await asyncio.sleep(0)
        assert seen == []


async def test_what_changes_nothing_may_always_be_sent() -> None:
    async with server() as (url, seen), session() as http:
        with permits.under(after(0)):
            await (await http.get(url)).read()
            await (await http.post(url, json={}, trace_request_ctx=False)).read()
        assert seen == ["GET", "POST"]


async def test_what_a_block_forbids_its_tasks_may_not_do_and_others_may() -> None:
    async def look() -> None:
        await asyncio.sleep(0)
        permits.check()

    with permits.under(after(0)):
        inside = asyncio.create_task(look())
    outside = asyncio.create_task(look())
    with pytest.raises(Ended):
        await inside
    await outside
