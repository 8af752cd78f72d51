"""Whom we trust and who trusts us: a certificate pinned by its fingerprint, and ours to show.

A daemon's certificate does not name the address that it is reached at, so its name proves nothing. It is looked at once,
compared with the fingerprint that the operator pinned, and is then the only one that connections accept.
"""

import asyncio
import hashlib
import ssl

from cryptography import x509
from yarl import URL

from berth.base.clock import SECOND, SystemClock
from berth.core.driver import BadCredentials, Unreachable
from berth.drivers.incus.config import IncusConfig

_LOOK_S = 5.0
_ALERTS = (
    "CERTIFICATE_REQUIRED",
    "BAD_CERTIFICATE",
    "CERTIFICATE_EXPIRED",
    "UNKNOWN_CA",
    "CERTIFICATE_UNKNOWN",
)


Files = tuple[tuple[int, int], ...]
"""When ours was written and what it is on the disk: another one is another certificate or key."""


def files(config: IncusConfig) -> Files:
    """Of what `context` would show now. Nothing where there is none, or half."""
    try:
        found = [path.stat() for path in (config.certificate, config.key) if path is not None]
    except OSError:
        return ()
    return tuple((each.st_mtime_ns, each.st_ino) for each in found)


def context(config: IncusConfig) -> ssl.SSLContext:
    """One that shows ours and trusts nobody yet. Raises BadCredentials for none of ours, half of one or an expired one."""
    chosen = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    chosen.check_hostname = False
    chosen.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    chosen.minimum_version = ssl.TLSVersion.TLSv1_2
    if config.certificate is None or config.key is None:
        raise BadCredentials("incus.certificate and incus.key: both are needed with incus.addresses")
    try:
        ours = x509.load_pem_x509_certificate(config.certificate.read_bytes())
        chosen.load_cert_chain(config.certificate, config.key)
    except (OSError, ValueError, ssl.SSLError) as error:
        raise BadCredentials(f"incus.certificate: {error}") from error
    if int(ours.not_valid_after_utc.timestamp()) <= SystemClock().now() // SECOND:
        raise BadCredentials(f"incus.certificate: it expired at {ours.not_valid_after_utc.isoformat()}")
    return chosen


def is_about_our_certificate(error: BaseException) -> bool:
    """Whether the other side broke the connection off because of what we showed."""
    return any(alert in repr(error).upper().replace(" ", "_") for alert in _ALERTS)


def fingerprint(text: str) -> str:
    return text.replace(":", "").strip().lower()


async def pinned(config: IncusConfig) -> bytes:
    """The certificate, in DER, of the first member that can be reached. Raises Unreachable, and BadCredentials for another."""
    said = "no address"
    for address in config.addresses:
        url = URL(address)
        try:
            found = await asyncio.wait_for(_shown_by(url.host or "", url.port or 8443), _LOOK_S)
        except (OSError, TimeoutError) as error:
            said = f"{address}: {error!r}"
            continue
        if hashlib.sha256(found).hexdigest() != fingerprint(config.server_fingerprint):
            raise BadCredentials(
                f"{address}: its certificate has the fingerprint {hashlib.sha256(found).hexdigest()}, "
                "which is not incus.server_fingerprint"
            )
        return found
    raise Unreachable(said)


async def _shown_by(host: str, port: int) -> bytes:
    looking = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    looking.check_hostname = False
    looking.verify_mode = ssl.CERT_NONE
    _, writer = await asyncio.open_connection(host, port, ssl=looking)
    try:
        connection: ssl.SSLObject = writer.get_extra_info("ssl_object")
        return connection.getpeercert(binary_form=True) or b""
    finally:
        writer.close()
