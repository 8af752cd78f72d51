"""The account at the stand-in: its keys, its credit, and the templates that it sees."""

import json
from collections.abc import Callable

from aiohttp import web

from tests.drivers.vastai.filters import matches
from tests.drivers.vastai.offers import TEMPLATES, Row
from tests.drivers.vastai.wire import Problem, answer, body_of

API_KEY = "key-of-the-account"


class Account:
    """`spread` is told each new key: instances that are there take it too."""

    def __init__(self, spread: Callable[[int, str], None]) -> None:
        self.keys: dict[int, Row] = {}
        self.templates = [dict(each) for each in TEMPLATES]
        self.credit: object = 123.4567891
        self._spread = spread

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/api/v0/ssh/", self._list_keys),
            web.post("/api/v0/ssh/", self._add_key),
            web.delete("/api/v0/ssh/{key}/", self._delete_key),
            web.get("/api/v0/template/", self._templates),
            web.get("/api/v0/users/current", self._user),
            web.get("/api/v0/users/current/", self._user),
        ]

    async def _list_keys(self, _request: web.Request) -> web.Response:
        if not self.keys:
            raise Problem(404, "not_found", "No SSH keys found")
        return answer(list(self.keys.values()))

    async def _add_key(self, request: web.Request) -> web.Response:
        key = (await body_of(request)).get("ssh_key")
        number = len(self.keys) + 1
        row = {"id": number, "user_id": 7, "public_key": key, "created_at": 0, "deleted_at": None}
        self.keys[number] = row
        self._spread(number, str(key))
        return answer({"success": True, "key": row})

    async def _delete_key(self, request: web.Request) -> web.Response:
        self.keys.pop(int(request.match_info["key"]), None)
        return answer({"success": True})

    async def _templates(self, request: web.Request) -> web.Response:
        filters = json.loads(request.query.get("select_filters") or "{}")
        found = [row for row in self.templates if matches(row, filters)]
        return answer({"success": True, "templates_found": len(found), "templates": found})

    async def _user(self, _request: web.Request) -> web.Response:
        return answer(
            {
                "id": 7,
                "username": "somebody",
                "email": "somebody@example.com",
                "api_key": API_KEY,
                "credit": self.credit,
                "balance": 0.0,
                "balance_threshold": 0.0,
                "has_billing": True,
                "host_agreement_accepted": False,
                "ssh_key": None,
            }
        )
