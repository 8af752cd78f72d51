"""How a container is started, as its row keeps it. Pure."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from types import MappingProxyType

from berth.core.driver import Launch

_NOTHING: Mapping[str, str] = MappingProxyType({})
_NO_PORTS: Mapping[int, int] = MappingProxyType({})


def written(launch: Launch | None, environment: Mapping[str, str]) -> str | None:
    """As JSON; None where there is nothing to say."""
    if launch is None and not environment:
        return None
    members = None if launch is None else asdict(launch)
    return json.dumps({"launch": members, "environment": dict(environment)}, separators=(",", ":"))


@lru_cache(4096)
def read(text: str | None) -> tuple[Launch | None, Mapping[str, str]]:
    """What `written` wrote."""
    if text is None:
        return None, _NOTHING
    kept = json.loads(text)
    members = kept["launch"]
    if members is None:
        return None, MappingProxyType(kept["environment"])
    lists = {"arguments": tuple(members["arguments"]), "ports": tuple(members["ports"])}
    return Launch(**members | lists), MappingProxyType(kept["environment"])


def written_ports(ports: Mapping[int, int]) -> str | None:
    if not ports:
        return None
    return json.dumps({str(inside): ports[inside] for inside in sorted(ports)}, separators=(",", ":"))


@lru_cache(4096)
def read_ports(text: str | None) -> Mapping[int, int]:
    if text is None:
        return _NO_PORTS
    return MappingProxyType({int(inside): outside for inside, outside in json.loads(text).items()})
