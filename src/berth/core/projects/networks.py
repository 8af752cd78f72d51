"""Whether an address is in one of a few networks, written as `203.0.113.0/24` or `2001:db8::/32`."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from berth.core.errors import Invalid

Network = IPv4Network | IPv6Network
MOST = 50
_LONGEST = 64


def check(cidrs: Sequence[str]) -> tuple[str, ...]:
    """The networks in their usual spelling, each once. Raises Invalid naming the one that is none."""
    if len(cidrs) > MOST:
        raise _invalid(f"at most {MOST} networks can be given")
    return tuple(dict.fromkeys(str(_network(text)) for text in cidrs))


def holds(cidrs: tuple[str, ...], address: str | None) -> bool:
    """Whether `address` lies in one of `cidrs`. An address nobody knows, or that is none, lies nowhere."""
    found = None if address is None else parse_address(address)
    return found is not None and any(found in network for network in _networks(cidrs))


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """None for what is no address. IPv4 within IPv6 counts as the IPv4 address it is."""
    try:
        found = ip_address(text)
    except ValueError:
        return None
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        return found.ipv4_mapped
    return found


@lru_cache(1024)
def _networks(cidrs: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in cidrs)


def _network(text: str) -> Network:
    try:
        found = ip_network(text) if len(text) <= _LONGEST else None
    except ValueError:
        found = None
    if found is None:
        raise _invalid(f"{text[:_LONGEST]!r} is no network such as 203.0.113.0/24 or 2001:db8::/32")
    if isinstance(found, IPv6Network) and (
        found.network_address.ipv4_mapped or found.network_address.scope_id
    ):
        raise _invalid(f"{text!r} would match nothing; write IPv4 networks as IPv4 and leave out zones")
    return found


def _invalid(why: str) -> Invalid:
    return Invalid("invalid_field", f"allowed_cidrs: {why}.", field="allowed_cidrs")
