"""SSH keys and startup scripts at Verda: made for one instance, named for its label, and taken away when it has ended."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from berth.core.driver import Label
from berth.drivers.verda import names, translate
from berth.drivers.verda.client import Client, segment
from berth.drivers.verda.errors import Missing
from berth.drivers.verda.translate import Json, text

_KEYS, _SCRIPTS = "/ssh-keys", "/scripts"
_PAGE = 100
_PAGES = 20


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something that was made for an instance."""

    collection: str
    id: str
    label: Label


class Keyring:
    def __init__(self, client: Client) -> None:
        self._client = client
        self._suspects: frozenset[Leftover] = frozenset()

    async def keys(self, label: Label, lines: Sequence[str]) -> list[str]:
        """The ids of these keys, in their order; those that are there already are not made again."""
        known = {
            text(row, "key").strip(): text(row, "id")
            for row in translate.rows(await self._client.get(_KEYS))
            if names.is_same(Label.parse(text(row, "name")), label)
        }
        ids = []
        for line in lines:
            key_id = known.get(line.strip())
            if key_id is None:
                body = {"name": str(label), "key": line}
                key_id = (await self._client.change("POST", _KEYS, body)).new_id(f"POST {_KEYS}")
            ids.append(key_id)
        return ids

    async def script(self, label: Label, script: str) -> str:
        for row in await self._list(_SCRIPTS):
            if names.is_same(Label.parse(text(row, "name")), label) and text(row, "script") == script:
                return text(row, "id")
        body = {"name": str(label), "script": script}
        return (await self._client.change("POST", _SCRIPTS, body)).new_id(f"POST {_SCRIPTS}")

    async def forget(self, label: Label) -> None:
        """Its instance has ended, or never came to be."""
        for leftover in await self._made():
            if names.is_same(leftover.label, label):
                await self._delete(leftover)

    async def made_for(self, install_id: str) -> frozenset[Leftover]:
        """Everything that is there for instances of this installation. To be asked before those are listed."""
        return frozenset(each for each in await self._made() if names.is_of(each.label, install_id))

    async def tidy(self, made: frozenset[Leftover], there: Collection[str]) -> None:
        """Takes away what was made for none of the instances that are `there`, if that was so the last time too.

        Once proves nothing: keys are made before their instance is.
        """
        idle = frozenset(each for each in made if str(each.label) not in there)
        for leftover in idle & self._suspects:
            await self._delete(leftover)
        self._suspects = idle - self._suspects

    async def _made(self) -> list[Leftover]:
        return [
            Leftover(collection, text(row, "id"), label)
            for collection in (_KEYS, _SCRIPTS)
            for row in await self._list(collection)
            if (label := Label.parse(text(row, "name"))) is not None
        ]

    async def _list(self, collection: str) -> Sequence[Json]:
        if collection == _KEYS:
            return translate.rows(await self._client.get(_KEYS))
        found: list[Json] = []
        for page in range(1, _PAGES + 1):
            rows = translate.rows(await self._client.get(_SCRIPTS, page=str(page), pageSize=str(_PAGE)))
            found += rows
            if len(rows) < _PAGE:
                break
        return found

    async def _delete(self, leftover: Leftover) -> None:
        try:
            await self._client.change("DELETE", f"{leftover.collection}/{segment(leftover.id)}")
        except Missing:
            return
