"""A mail server on loopback that keeps what it takes, refuses what it is told to, and proves its name if asked."""

import asyncio
import datetime as dt
import ipaddress
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import partial
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from berth.loops.world import Mail

SENDER = "berth@cloud.example"
_TURNS = 20


@dataclass
class Mailbox:
    """`received` is what was taken; `recipients` and `senders` are asked first and may answer with a refusal."""

    port: int = 0
    received: list[tuple[list[str], EmailMessage]] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    logins: list[tuple[bytes, bytes]] = field(default_factory=list)
    connections: int = 0
    senders: Callable[[str], str | None] = lambda _address: None
    recipients: Callable[[str], str | None] = lambda _address: None
    contents: Callable[[str], str | None] = lambda _content: None
    on_taken: Callable[[], None] = lambda: None

    def mail(self, **changes: Any) -> Mail:
        plain = Mail(host="127.0.0.1", port=self.port, sender=SENDER, tls="none", timeout_s=0.5)
        return replace(plain, **changes)

    async def handle_MAIL(  # noqa: N802 - named by the library
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        envelope.mail_from, envelope.mail_options = address, options
        return self.senders(address) or "250 OK"

    async def handle_RCPT(  # noqa: N802 - as above
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        refusal = self.recipients(address)
        if refusal is None:
            envelope.rcpt_tos.append(address)
        return refusal or "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - as above
        content = envelope.content
        assert isinstance(content, bytes)
        refusal = self.contents(content.decode())
        if refusal is None:
            self.raw.append(content)
            message = message_from_bytes(content, policy=policy.default)
            assert isinstance(message, EmailMessage)
            self.received.append((list(envelope.rcpt_tos), message))
            self.on_taken()
        return refusal or "250 OK"

    def login(
        self, _server: SMTP, _session: Session, _envelope: Envelope, _how: str, data: Any
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append((data.login, data.password))
        return AuthResult(success=data.password == b"secret")


@asynccontextmanager
async def opened(
    *, starttls: ssl.SSLContext | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Mailbox]:
    """A login, `berth` with the password `secret`, is asked for with `starttls`."""
    mailbox = Mailbox()
    connections: list[SMTP] = []

    def connected() -> SMTP:
        mailbox.connections += 1
        connection = SMTP(
            mailbox,
            hostname="mail.example",
            tls_context=starttls,
            auth_required=starttls is not None,
            auth_require_tls=True,
            authenticator=partial(Mailbox.login, mailbox),
            loop=asyncio.get_running_loop(),
        )
        connections.append(connection)
        return connection

    server = await asyncio.get_running_loop().create_server(connected, "127.0.0.1", 0, ssl=tls)
    mailbox.port = server.sockets[0].getsockname()[1]
    try:
        yield mailbox
    finally:
        server.close()
        for connection in connections:
            # The library keeps its side of a connection whose client left without a word.
            if connection.transport is not None:
                connection.transport.close()
        await server.wait_closed()
        await _hung_up()


async def _hung_up() -> None:
    """Clients have closed by now; lets the server's side of each connection notice."""
    for _ in range(_TURNS):
        await asyncio.sleep(0)


@asynccontextmanager
async def silent() -> AsyncIterator[int]:
    """The port of a server that takes connections and says nothing."""
    ended = asyncio.Event()

    async def say_nothing(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ended.wait()
        writer.close()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        ended.set()
        server.close()
        await server.wait_closed()
        await _hung_up()


def certified(directory: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's context for 127.0.0.1, and the file of who vouches for it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mail.example")])
    now = dt.datetime.now(dt.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    public, private = directory / "certificate.pem", directory / "key.pem"
    public.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(public, private)
    return context, public
