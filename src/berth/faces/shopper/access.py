"""Who is asking: whoever has an API key, and, where the face is open, whoever sits at this very host.

A page in a browser at this host is not who sits there: it may neither read through a name that it had resolved to
the loopback address, nor write from another origin.
"""

from urllib.parse import urlsplit

from berth.core import events, projects
from berth.core.errors import Forbidden, Unauthenticated
from berth.core.events import Actor
from berth.core.projects import parse_address
from berth.faces.face import Context, Headers, authenticate_by_key

LOOPBACK = "loopback"
"""Names, in place of a key, whoever asks without one."""
_FORWARDED = (b"forwarded", b"x-forwarded-for", b"x-real-ip")
_OWN_SITE = {b"same-origin", b"none"}


async def authenticate(context: Context, headers: Headers, address: str | None) -> Actor:
    """Who sent a key, or, without one, the open project for a caller at this host.

    Raises Unauthenticated, and Forbidden for a key that does not work from `address` and for a page of another site.
    """
    name = context.policy.open_project
    if name is None or b"x-api-key" in headers or b"authorization" in headers:
        return await authenticate_by_key(context, headers, address)
    if not is_here(headers, address, has_proxies=bool(context.policy.trusted_proxies)):
        raise Unauthenticated(
            "missing_key",
            "Without an API key this answers on this host alone, by a name of its own; send X-API-Key: mk_… or"
            " Authorization: Bearer mk_…",
        )
    if not is_own_page(headers):
        raise Forbidden("foreign_origin", "A page of another origin may not use this without an API key.")
    project = await context.db.read(projects.find, name)
    if project is None:
        raise Unauthenticated("missing_key", f"There is no project {name!r} to act for; send an API key.")
    return events.operator(project.id, LOOPBACK)


def is_here(headers: Headers, address: str | None, *, has_proxies: bool) -> bool:
    """Whether the request comes from this host, and was sent to it by a name that only means this host."""
    if not is_loopback(address):
        return False
    # Somebody passed it on, and nobody told us that this somebody's word about where it comes from counts.
    if not has_proxies and any(name in headers for name in _FORWARDED):
        return False
    return is_loopback(_host(headers.get(b"host")))


def is_own_page(headers: Headers) -> bool:
    """Whether no page of another origin has sent it. What is no browser says nothing of that."""
    site = headers.get(b"sec-fetch-site")
    if site is not None and site not in _OWN_SITE:
        return False
    origin = headers.get(b"origin")
    return origin is None or origin == b"http://%b" % headers.get(b"host", b"")


def is_loopback(host: str | None) -> bool:
    """Whether `host`, a name or an address, means this host wherever it is asked."""
    if host is None:
        return False
    if host.rstrip(".").lower() == "localhost":
        return True
    found = parse_address(host)
    return found is not None and found.is_loopback


def _host(header: bytes | None) -> str | None:
    if header is None:
        return None
    try:
        return urlsplit(f"//{header.decode('latin-1')}").hostname
    except ValueError:
        return None
