"""Where a request comes from: the other end of its connection, or what a trusted proxy says of it."""

from ipaddress import ip_network

from berth.base.asgi import Scope
from berth.core.projects import parse_address
from berth.core.projects.networks import Network
from berth.faces.face.table import Headers

_HOPS = 20
"""Proxies in a row that are followed back."""


def address_of(scope: Scope, headers: Headers, trusted: tuple[Network, ...]) -> str | None:
    """The client's address, None where the server does not know one.

    `X-Forwarded-For` is read from its end, and only as far as each hop is one of `trusted`: what stands before
    was written by whoever sent the request.
    """
    client = scope.get("client")
    address: str | None = None if client is None else client[0]
    forwarded = headers.get(b"x-forwarded-for")
    if not trusted or forwarded is None:
        return address
    for hop in reversed(forwarded.decode("latin-1").split(",")[-_HOPS:]):
        if not _is_trusted(address, trusted):
            break
        found = parse_address(hop.strip())
        if found is None:
            break
        address = str(found)
    return address


def parse_networks(text: str) -> tuple[Network, ...]:
    """The networks in a list with commas. Raises ValueError."""
    return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())


def _is_trusted(address: str | None, trusted: tuple[Network, ...]) -> bool:
    found = None if address is None else parse_address(address)
    return found is not None and any(found in network for network in trusted)
