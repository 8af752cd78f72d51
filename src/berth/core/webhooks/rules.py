"""Where a webhook may point: which URLs can be registered, and which addresses are ever called. Pure.

A URL is looked at when it is registered; what counts is the address that its name stands for when it is called.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

import idna

from berth.core.errors import Invalid

URL_LIMIT = 2048
_HOST_LIMIT = 253
_KNOWN = 4096
"""How many URLs and addresses are kept taken apart and judged: most are called again soon."""
_LAST_PORT = 65535
_HTTPS_PORT, _HTTP_PORT = 443, 80
Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

DENIED_PORTS = frozenset(
    {0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103}
    | {104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 138, 139, 143, 161, 179, 389, 427, 445, 465}
    | {512, 513, 514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 873, 989, 990, 993}
    | {995, 1433, 1521, 1719, 1720, 1723, 2049, 2375, 2376, 2379, 2380, 3306, 3389, 3659, 4045, 5060, 5061}
    | {5432, 5900, 6000, 6379, 6566, 6665, 6666, 6667, 6668, 6669, 6697, 10080, 10250, 11211, 27017}
)
"""Where something else than a web server listens: mail, databases, shells, clusters' own interfaces."""

# Whatever IPv4 network is not for everybody, by RFC 6890 and its successors, and the one public-looking address
# at which a cloud's machines find their own agent (168.63.129.16).
_NOT_PUBLIC = [
    IPv4Network(each)
    for each in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
]
_PUBLIC_V6 = IPv6Network("2000::/3")
# Within it, what stands for other addresses (Teredo, 6to4) or for none.
_NOT_PUBLIC_V6 = [IPv6Network(each) for each in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")]
_LAB = [
    ip_network(each)
    for each in (
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "::1/128",
        "fc00::/7",
    )
]
"""What `allow_private` opens. Link-local stays closed: that is where clouds keep their machines' credentials."""
# Where clouds keep them outside of link-local: in networks that are otherwise as private as any.
_CREDENTIALS = [ip_network(each) for each in ("100.100.100.200/32", "fd00:ec2::/32", "fd20:ce::/32")]
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Rules:
    """The operator's decisions about webhooks."""

    allow_private: bool = False
    """Plain http, and receivers on this host and in private networks: for tests and labs."""
    allowed_networks: Sequence[Network] = ()
    """Internal networks that may be called all the same."""
    retry_permille: int = 1000
    """Of the usual time between attempts."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a URL points."""

    is_secure: bool
    host: str
    """A name in ASCII, or an address without brackets."""
    port: int
    resource: str
    """Path and query, as they are sent."""
    is_address: bool
    """Whether the host is an address and no name."""

    @property
    def authority(self) -> str:
        """For the header Host."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = _HTTPS_PORT if self.is_secure else _HTTP_PORT
        return host if self.port == usual else f"{host}:{self.port}"


def check_url(url: str, rules: Rules) -> None:
    """Raises Invalid for a URL that cannot be registered."""
    target = target_of(url)
    if not target.is_secure and not rules.allow_private:
        raise _refused("must begin with https://.")
    address = _address(target.host)
    if address is not None:
        if not is_allowed(address, rules):
            raise _refused("must not point to an address that is not public.")
    elif "." not in target.host and not rules.allow_private:
        raise _refused("must name a host that can be found from everywhere.")


@lru_cache(_KNOWN)
def target_of(url: str) -> Target:
    """Raises Invalid for what is no URL of a web server."""
    if len(url) > URL_LIMIT:
        raise _refused(f"must have at most {URL_LIMIT} characters.")
    if not url.isprintable() or any(character in url for character in ' \\"<>^`{|}'):
        raise _refused("holds characters that a URL cannot have.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _refused("is not a URL.") from None
    if parts.scheme not in {"https", "http"}:
        raise _refused("must begin with https://.")
    if "@" in parts.netloc:
        raise _refused("must not hold a user name or password; the signature says who is calling.")
    if "#" in url:
        raise _refused("must not have a fragment.")
    is_secure = parts.scheme == "https"
    if port is None:
        port = _HTTPS_PORT if is_secure else _HTTP_PORT
    if port in DENIED_PORTS or port > _LAST_PORT:
        raise _refused(f"must not name port {port}.")
    host = _host(parts)
    return Target(is_secure, host, port, _resource(parts), is_address=_address(host) is not None)


def is_allowed(address: Address, rules: Rules) -> bool:
    """Whether this very address may be called."""
    if _is_within(address, rules.allowed_networks):
        return True
    is_open = rules.allow_private and _is_within(address, _LAB) and not _is_within(address, _CREDENTIALS)
    return is_public(address) or is_open


@lru_cache(_KNOWN)
def is_public(address: Address) -> bool:
    """Whether it is one machine that everybody can reach under this address."""
    if isinstance(address, IPv4Address):
        return not _is_within(address, _NOT_PUBLIC)
    # IPv4-mapped, IPv4-compatible, NAT64, unique local, link-local and multicast lie outside 2000::/3.
    return address in _PUBLIC_V6 and not _is_within(address, _NOT_PUBLIC_V6)


def networks(text: str) -> tuple[Network, ...]:
    """Networks as an operator lists them: `10.1.0.0/16, fd00::/8`. Raises ValueError."""
    return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())


def _is_within(address: Address, known: Iterable[Network]) -> bool:
    return any(address.version == network.version and address in network for network in known)


def _host(parts: SplitResult) -> str:
    """The host in ASCII. Raises Invalid."""
    host = parts.hostname
    if not host:
        raise _refused("must name a host.")
    if "%" in host:
        raise _refused("names a host that cannot be.")
    if parts.netloc.startswith("["):
        address = _address(host)
        if address is None:
            raise _refused("names a host that cannot be.")
        return str(address)
    if not host.isascii():
        try:
            host = idna.encode(host, uts46=True).decode()
        except (idna.IDNAError, UnicodeError):
            raise _refused("names a host that cannot be.") from None
    host = host.lower().removesuffix(".")
    labels = host.split(".")
    if len(host) > _HOST_LIMIT or not all(_LABEL.fullmatch(label) for label in labels):
        raise _refused("names a host that cannot be.")
    # 127.1, 2130706433 and 0x7f.0.0.1 are addresses to a resolver: only the usual way to write one is taken.
    if _NUMBER.fullmatch(labels[-1]) and _address(host) is None:
        raise _refused("names a host that cannot be.")
    return host


def _resource(parts: SplitResult) -> str:
    """Path and query in ASCII, as `urlsplit` found them."""
    written = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return "".join(
        character if character.isascii() else "".join(f"%{byte:02X}" for byte in character.encode())
        for character in written
    )


def _address(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _refused(what: str) -> Invalid:
    return Invalid("url_not_allowed", f"url {what}", field="url")
