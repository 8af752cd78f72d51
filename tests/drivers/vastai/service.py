"""A stand-in for the marketplace: its shapes and oddities, over real HTTP, with faults that are switched on.

It moves on by being looked at: each look at an instance that is on its way brings it one step further. It keeps a meter
of its own. Also a program, which outlives whoever buys from it: `python -m tests.drivers.vastai.service --port 0`.
"""

import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from berth.base.clock import SystemClock
from tests.drivers.vastai import faults as wrong
from tests.drivers.vastai.account import API_KEY, Account
from tests.drivers.vastai.contracts import Contract
from tests.drivers.vastai.faults import Faults
from tests.drivers.vastai.filters import is_understood, matches
from tests.drivers.vastai.login import Logins
from tests.drivers.vastai.offers import Row, market, priced
from tests.drivers.vastai.wire import (
    Problem,
    answer,
    body_of,
    cut,
    kind_of,
    no_such_ask,
    raw,
    read_token,
    token_of,
)

CAP = 64
PAGE = 25
PAUSES_S = {"create": 4.5, "destroy": 3, "manage": 1, "show": 2, "list": 1, "templates": 3, "attach": 1}
SEARCHES, SEARCH_WINDOW_S = 10, 60
_FIRST_HANDLE = 41_000_000


class Service:
    """Its state, and its routes. `now` is in microseconds since the epoch."""

    def __init__(
        self,
        *,
        offers: int = 20,
        seed: int = 1,
        now: Callable[[], int] | None = None,
        logins: Logins | None = None,
        attach_s: float = 0.0,
    ) -> None:
        self.now: Callable[[], int] = now or SystemClock().now
        self.faults = Faults()
        self.offers = market(offers, seed=seed)
        self.contracts: dict[int, Contract] = {}
        self.account = Account(self._spread)
        self.calls: Counter[str] = Counter()
        self.bodies: list[tuple[str, Any]] = []
        """The bodies of creates, as they came."""
        self.changed: Callable[[], None] = lambda: None
        self._logins = logins
        self._attach_us = int(attach_s * 1_000_000)
        self._ports = iter(range(20_000, 60_000, 4))
        self._log_looks: Counter[int] = Counter()
        self._called_at: dict[str, list[int]] = {}
        self._next = _FIRST_HANDLE

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._guard])
        each = "/api/v0/instances/{id}/"
        app.add_routes(
            [
                web.post("/api/v0/bundles/", self._search),
                web.get("/api/v0/bundles/", self._search),
                web.put("/api/v0/search/asks/", self._search),
                web.put("/api/v0/asks/{ask}/", self._create),
                web.get("/api/v0/instances/", self._old_list),
                web.get("/api/v1/instances/", self._list),
                web.put("/api/v0/instances/", self._change_many),
                web.delete("/api/v0/instances/", self._destroy_many),
                web.put("/api/v0/instances/reboot/{id}/", self._reboot),
                web.put("/api/v0/instances/recycle/{id}/", self._reboot),
                web.put("/api/v0/instances/bid_price/{id}/", self._bid),
                web.put("/api/v0/instances/request_logs/{id}/", self._request_logs),
                web.get("/logs/{id}", self._log),
                web.get(each, self._show),
                web.put(each, self._change),
                web.delete(each, self._destroy),
                web.get(each + "ssh/", self._attached),
                web.post(each + "ssh/", self._attach),
                web.delete(each + "ssh/{key}/", self._detach),
                web.get("/_control/meter", self._meter),
                web.put("/_control/faults", self._set_faults),
                web.put("/_control/instances/{id}", self._happens),
            ]
        )
        app.add_routes(self.account.routes())
        return app

    def live(self, handle: int) -> Contract:
        contract = self.contracts.get(handle)
        if contract is None or not contract.is_there:
            raise Problem(
                404, "no_such_instance", f"error 404/3603: no_such_instance Instance {handle} not found."
            )
        return contract

    def take(self, contract: Contract) -> None:
        """Knows an instance from before."""
        self.contracts[contract.handle] = contract
        self._next = max(self._next, contract.handle + 13)
        known = self.offers.get(contract.offer["ask_contract_id"])
        if known is not None:
            contract.offer = known
        if contract.is_there and contract.intended == contract.current == "running":
            contract.offer["rentable"], contract.offer["rented"] = False, True

    async def open_doors(self) -> None:
        """Lets people in again to what runs."""
        for contract in self.contracts.values():
            if contract.is_there and contract.actual == "running":
                await self._open(contract)

    def of_label(self, label: str) -> list[Contract]:
        return [each for each in self.contracts.values() if each.label == label]

    def bills(self) -> list[Row]:
        now = self.now()
        return [each.bill(now) for each in self.contracts.values()]

    # What stands between callers and routes.

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if request.path.startswith("/_control") or request.path.startswith("/logs/"):
            return await handler(request)
        call, faults = f"{request.method} {request.path}", self.faults
        self.calls[call] += 1
        self.calls[kind_of(call) or "other"] += 1
        if wrong.taken(faults.refused, call) or faults.happens(faults.refused_permille):
            return cut(request)
        said = self._said(call)
        if said is not None:
            return said
        try:
            self._authenticate(request)
            done = await handler(request)
        except Problem as problem:
            done = answer(problem.body, status=problem.status)
        self.changed()
        is_lost = wrong.taken(faults.lost, call)
        if is_lost or (request.method != "GET" and faults.happens(faults.lost_permille)):
            return cut(request)
        return done

    def _said(self, call: str) -> web.Response | None:
        """An answer with nothing done."""
        faults = self.faults
        for each in faults.answers:
            if call.startswith(each[0]):
                faults.answers.remove(each)
                return raw(each[1])
        if faults.happens(faults.limited_permille) or (faults.keeps_pace and self._is_too_soon(call)):
            return raw(faults.chance.choice(wrong.LIMITED))
        if faults.happens(faults.broken_permille):
            return raw((502, "<html><h1>502 Bad Gateway</h1></html>", {}, "text/html"))
        return None

    def _is_too_soon(self, call: str) -> bool:
        kind, now = kind_of(call), self.now()
        if kind is None:
            return False
        many, window_s = (SEARCHES, SEARCH_WINDOW_S) if kind == "search" else (1, PAUSES_S[kind])
        before = self._called_at.setdefault(kind, [])
        before[:] = [at for at in before if now - at < window_s * 1_000_000]
        before.append(now)
        return len(before) > many

    def _authenticate(self, request: web.Request) -> None:
        header = request.headers.get("Authorization", "")
        key = header.removeprefix("Bearer ") or request.query.get("api_key", "")
        if not key and "/bundles/" in request.path:
            return
        if not key:
            raise Problem(403, "auth_error", "This action requires login.")
        if key != API_KEY:
            raise Problem(404, "auth_error", "Invalid user key")

    # Offers.

    async def _search(self, request: web.Request) -> web.Response:
        asked = (
            json.loads(request.query.get("q", "{}")) if request.method == "GET" else await body_of(request)
        )
        asked = asked.get("q", asked)
        if not is_understood(asked):
            raise Problem(400, "invalid_request", "Invalid operator")
        kind, storage = asked.get("type", "on-demand"), float(asked.get("allocated_storage") or 5.0)
        found = [priced(row, storage, is_bid=kind == "bid") for row in self.offers.values()]
        if self.faults.ignores_filters:
            asked = {name: asked[name] for name in ("dph_total", "order", "limit") if name in asked}
        found = [row for row in found if matches(row, asked)]
        for column, direction in reversed(asked.get("order") or [["score", "desc"]]):
            found.sort(key=lambda row: row.get(column) or 0, reverse=direction == "desc")
        return answer({"success": True, "offers": found[: min(int(asked.get("limit") or CAP), CAP)]})

    async def _create(self, request: web.Request) -> web.Response:
        body = await body_of(request)
        self.bodies.append((request.path, body))
        ask = int(request.match_info["ask"])
        if self.faults.stale or ask not in self.offers or not self.offers[ask]["rentable"]:
            form, self.faults.stale = self.faults.stale or "410", ""
            raise no_such_ask(ask, form)
        self._check(body)
        offer, bid = self.offers[ask], body.get("price")
        handle, self._next = self._next, self._next + 13
        is_low = self.faults.low_bid or (bid is not None and float(bid) < offer["min_bid"])
        contract = Contract(
            handle=handle,
            offer=offer,
            body=body,
            label=body.get("label") or "",
            disk_gb=float(body.get("disk") or 8),
            is_bid=bid is not None,
            created_at=self.now(),
            looks_to_run=self.faults.boot_looks,
            hidden_looks=self.faults.lag_looks,
            keeps_listing=self.faults.keeps_listing,
            attached={str(key): (row["public_key"], 0) for key, row in self.account.keys.items()},
        )
        self.contracts[handle] = contract
        if is_low:
            contract.actual, contract.current = "exited", "stopped"
            contract.intended = contract.following = "stopped"
            return answer(
                {"success": False, "error": "bid_too_low", "msg": "bid is too low", "new_contract": handle}
            )
        offer["rentable"], offer["rented"] = False, True
        return answer({"success": True, "new_contract": handle, "instance_api_key": "0" * 64})

    def _check(self, body: Row) -> None:
        template = body.get("template_hash_id")
        if not body.get("image") and not template:
            raise Problem(400, "invalid_args", "error 400/3467: image or template_hash_id is required")
        if template and template not in {each["hash_id"] for each in self.account.templates}:
            raise Problem(400, "invalid_args", "error 400/3467: no such template")
        if float(body.get("disk") or 8) < 8 or len(body.get("label") or "") > 256:
            raise Problem(400, "invalid_args", "error 400/3467: disk or label out of range")
        if len(body.get("onstart") or "") + sum(map(len, body.get("args") or [])) > 4096:
            raise Problem(400, "invalid_args", "error 400/3467: onstart and args are too long")
        if sum(len(str(name)) + len(str(value)) for name, value in (body.get("env") or {}).items()) > 32_768:
            raise Problem(400, "invalid_args", "error 400/3467: env is too long")
        price = body.get("price")
        if price is not None and not 0.001 <= float(price) <= 128:
            raise Problem(400, "invalid_price", "price out of range")
        if isinstance(self.account.credit, float | int) and self.account.credit <= 0:
            raise Problem(400, "insufficient_credit", "Your account lacks credit.")

    # Instances.

    async def _old_list(self, _request: web.Request) -> web.Response:
        raise Problem(410, "deprecated_endpoint", "This endpoint is deprecated. Use /api/v1/instances/.")

    async def _list(self, request: web.Request) -> web.Response:
        query = request.query
        filters = json.loads(query.get("select_filters") or "{}")
        token = query.get("after_token", "")
        if token and self.faults.cuts_pages:
            raise Problem(502, "", "Bad gateway")
        shown = [each.row(self.now()) for each in self.contracts.values() if self._is_shown(each)]
        if not is_understood(filters) or any(name not in shown[0] for name in (filters if shown else ())):
            raise Problem(400, "invalid_request", "Invalid filter")
        wanted = int(query.get("limit") or PAGE)
        limit = min(wanted, PAGE) if wanted > 0 else 5
        after = read_token(token)
        found = [row for row in shown if matches(row, filters)]
        rest = [row for row in found if row["id"] > after]
        listed = rest[: len(rest) - self.faults.hides] if self.faults.hides else rest
        page = listed[:limit]
        for row in page:
            await self._look(self.contracts[row["id"]])
        page = [self.contracts[row["id"]].row(self.now()) for row in page]
        return answer(
            {
                "success": True,
                "instances_found": len(page),
                "total_instances": len(found),
                "label_counts": dict(Counter(str(row["label"]) for row in found)),
                "next_token": token_of(page[-1]["id"]) if len(listed) > limit else None,
                "instances": page,
            }
        )

    async def _show(self, request: web.Request) -> web.Response:
        contract = self.contracts.get(int(request.match_info["id"]))
        if contract is None or not self._is_shown(contract):
            return answer({"instances": None})
        await self._look(contract)
        return answer({"instances": contract.row(self.now())})

    def _is_shown(self, contract: Contract) -> bool:
        if not contract.is_there:
            contract.keeps_listing -= 1
            return contract.keeps_listing >= 0
        if self.now() - contract.created_at < self.faults.lag_s * 1_000_000:
            return False
        contract.hidden_looks -= 1
        return contract.hidden_looks < 0

    async def _look(self, contract: Contract) -> None:
        if not contract.is_there:
            return
        before, faults = contract.actual, self.faults
        contract.step(self.now(), sticks=faults.sticks, exits=faults.exits, status_msg=faults.status_msg)
        if contract.actual == before:
            return
        if contract.actual == "running":
            await self._open(contract)
        elif before == "running":
            self._shut(contract)

    async def _open(self, contract: Contract) -> None:
        contract.host_port, contract.ssh_port = next(self._ports), next(self._ports)
        if self._logins is not None and not contract.is_entrypoint:
            contract.host_port = await self._logins.open(
                contract.handle, lambda key: self._opens(contract, key)
            )
            contract.ssh_port = contract.host_port

    def _opens(self, contract: Contract, key: str) -> bool:
        now = self.now()
        is_open = contract.actual == "running" and key in contract.keys(now)
        if is_open and contract.entered_at is None:
            contract.entered_at = now
        return is_open

    def _shut(self, contract: Contract) -> None:
        if self._logins is not None:
            self._logins.close(contract.handle)

    async def _change(self, request: web.Request) -> web.Response:
        body, contract = await body_of(request), self.live(int(request.match_info["id"]))
        if "label" in body:
            if len(body["label"] or "") > 1024:
                raise Problem(400, "label_too_long", "label is too long")
            contract.label = body["label"] or ""
            return answer({"success": True})
        return self._set_state(contract, body.get("state"))

    async def _change_many(self, request: web.Request) -> web.Response:
        body = await body_of(request)
        for handle in body["ids"]:
            self._set_state(self.live(int(handle)), body.get("state"))
        return answer({"success": True})

    def _set_state(self, contract: Contract, state: object) -> web.Response:
        if state == "stopped":
            if self.faults.ignores_stop:
                self.faults.ignores_stop -= 1
                return answer({"success": True})
            if contract.intended == "running" and contract.current == "running":
                self._give_back(contract)
            contract.intended = contract.following = "stopped"
            return answer({"success": True})
        if state != "running":
            raise Problem(400, "invalid_args", "state must be running or stopped")
        if contract.intended == "running" and contract.current == "running":
            return answer({"success": True})
        contract.intended = contract.following = "running"
        if self.faults.queued or not contract.offer["rentable"]:
            return answer(
                {"success": True, "msg": "Required resources are unavailable, state change queued."}
            )
        contract.offer["rentable"], contract.offer["rented"] = False, True
        contract.current, contract.actual, contract.looks_to_run = "running", "loading", 1
        return answer({"success": True})

    def _give_back(self, contract: Contract) -> None:
        contract.offer["rentable"], contract.offer["rented"] = True, False

    async def _reboot(self, request: web.Request) -> web.Response:
        contract = self.live(int(request.match_info["id"]))
        if contract.actual == "running":
            self._shut(contract)
            contract.off(self.now())
            contract.actual, contract.looks_to_run = "rebooting", 0
        return answer({"success": True})

    async def _bid(self, request: web.Request) -> web.Response:
        contract = self.live(int(request.match_info["id"]))
        contract.body["price"] = (await body_of(request)).get("price")
        return answer({"success": True})

    async def _destroy(self, request: web.Request) -> web.Response:
        await body_of(request)
        self._end(self.live(int(request.match_info["id"])))
        return answer({"success": True})

    async def _destroy_many(self, request: web.Request) -> web.Response:
        for handle in (await body_of(request))["instance_ids"]:
            self._end(self.live(int(handle)))
        return answer({"success": True})

    def _end(self, contract: Contract) -> None:
        if self.faults.ignores_destroy:
            self.faults.ignores_destroy -= 1
            return
        if contract.intended == "running" and contract.current == "running":
            self._give_back(contract)
        self._shut(contract)
        contract.ends(self.now())

    async def _request_logs(self, request: web.Request) -> web.Response:
        await body_of(request)
        contract = self.live(int(request.match_info["id"]))
        url = f"http://{request.host}/logs/{contract.handle}"
        return answer({"success": True, "result_url": url, "msg": "Logs are on their way."})

    async def _log(self, request: web.Request) -> web.Response:
        if "Authorization" in request.headers:
            return web.Response(status=400)
        handle = int(request.match_info["id"])
        self._log_looks[handle] += 1
        if self._log_looks[handle] <= self.faults.log_tries:
            return web.Response(status=404)
        return web.Response(text=self.contracts[handle].log)

    # Keys.

    async def _attached(self, request: web.Request) -> web.Response:
        contract = self.live(int(request.match_info["id"]))
        keys = [{"id": int(key), "public_key": text} for key, (text, _) in contract.attached.items()]
        return answer({"success": True, "ssh_keys": keys})

    async def _attach(self, request: web.Request) -> web.Response:
        contract, key = self.live(int(request.match_info["id"])), (await body_of(request)).get("ssh_key")
        if not key:
            raise Problem(400, "invalid_args", "ssh_key is required")
        contract.attached[str(len(contract.attached) + 1)] = (key, self.now() + self._attach_us)
        return answer({"success": True, "msg": "SSH key added to instance."})

    async def _detach(self, request: web.Request) -> web.Response:
        self.live(int(request.match_info["id"])).attached.pop(request.match_info["key"], None)
        return answer({"success": True})

    def _spread(self, number: int, key: str) -> None:
        for contract in self.contracts.values():
            contract.attached[str(900 + number)] = (key, self.now() + self._attach_us)

    # What tests ask for.

    async def _meter(self, _request: web.Request) -> web.Response:
        return answer({"now": self.now(), "bills": self.bills(), "calls": dict(self.calls)})

    async def _set_faults(self, request: web.Request) -> web.Response:
        self.faults.change(await body_of(request))
        return answer({"success": True})

    async def _happens(self, request: web.Request) -> web.Response:
        await self.happens(int(request.match_info["id"]), str((await body_of(request))["what"]))
        return answer({"success": True})

    async def happens(self, handle: int, what: str) -> None:
        """`outbid`, `offline`, `online` or `exited`, to an instance."""
        contract = self.live(handle)
        if what == "outbid":
            contract.actual, contract.current = "exited", "stopped"
            contract.intended = contract.following = "stopped"
        else:
            contract.actual = {"offline": "offline", "online": "running", "exited": "exited"}[what]
        if what != "online":
            self._shut(contract)
            contract.off(self.now())
        elif contract.runs_since is None:
            contract.runs_since = self.now()


@asynccontextmanager
async def serving(service: Service, *, port: int = 0, host: str = "127.0.0.1") -> AsyncIterator[str]:
    """Its address, without a path."""
    runner = web.AppRunner(service.app(), shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, host, port)
    await site.start()
    try:
        yield f"http://{host}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    from tests.drivers.vastai.process import main

    main()
