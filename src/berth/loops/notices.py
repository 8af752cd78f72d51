"""Keeps true: what people are to be told by e-mail has been handed to the mail server.

Takes no input. An e-mail carries the id of its notice, so one that a crash made us send twice can be told
from a second one. Without a mail server nothing is sent, and what was due is marked so.
"""

import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import AsyncIterator
from email.message import EmailMessage
from email.policy import SMTP as WIRE_FORMAT
from email.utils import formatdate

import aiosmtplib
import structlog

from berth.base.clock import SECOND, Instant
from berth.core import notices
from berth.core.notices import Notice
from berth.loops.holding import Hold, LeaseLost, held
from berth.loops.world import Mail, Report, World

PERIOD_S = 30.0
BATCH = 20
"""E-mails that one tick sends, over one connection."""
SKIPPED_AT_ONCE = 500
_ABOUT_US = frozenset({530, 535})
_log = structlog.get_logger()

Trouble = aiosmtplib.SMTPException | OSError | TimeoutError


def is_final(error: Trouble) -> bool:
    """Pure: whether the server's answer is about this e-mail and will not change.

    What it holds against us (a relay it denies, a login it wants) an operator can put right, so it is tried again.
    """
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        return all(map(is_final, error.recipients))
    if not isinstance(error, aiosmtplib.SMTPRecipientRefused | aiosmtplib.SMTPDataError):
        return False
    is_permanent = 500 <= error.code < 600  # noqa: PLR2004 - the hundreds of SMTP
    return is_permanent and error.code not in _ABOUT_US and not error.message.startswith("5.7.")


def compose(mail: Mail, notice: Notice) -> EmailMessage:
    """Pure: plain text, and the same each time it is sent. No header can hold a line end."""
    message = EmailMessage(policy=WIRE_FORMAT)
    message["From"] = mail.sender
    message["To"] = notice.email
    message["Subject"] = notice.subject_line
    message["Date"] = formatdate(notice.created_at // SECOND)
    message["Message-ID"] = f"<{notice.id}@{mail.domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(notice.body + "\n")
    return message


async def tick(world: World) -> Report:
    """Sends up to `BATCH` e-mails that are due."""
    await world.db.write(notices.forget_old)
    due_at = await world.db.read(notices.next_due)
    if due_at is None or due_at > world.clock.now():
        return Report(wake_at=due_at)
    if world.mail is None:
        return await _skip(world)
    since = world.clock.now()
    leased = await world.db.write(notices.lease_due, limit=BATCH, seconds=world.patience.lease_s)
    is_up = await _send_held(world, world.mail, deque(leased), since)
    return Report(
        done=len(leased),
        has_more=is_up and len(leased) == BATCH,
        wake_at=await world.db.read(notices.next_due),
    )


async def _skip(world: World) -> Report:
    skipped = await world.db.write(notices.skip_due, limit=SKIPPED_AT_ONCE)
    _log.warning("notices_not_sent", count=skipped, reason="no mail server is set up: mail.host")
    return Report(done=skipped, has_more=skipped == SKIPPED_AT_ONCE)


async def _send_held(world: World, mail: Mail, waiting: deque[Notice], since: Instant) -> bool:
    seconds = world.patience.lease_s
    lease = held(
        world,
        since=since,
        seconds=seconds,
        renew=lambda: world.db.write(notices.renew_leases, list(waiting), seconds=seconds),
        give_back=lambda: world.db.write(notices.give_back, list(waiting)),
    )
    try:
        async with lease as hold:
            return await _send_all(world, mail, waiting, hold)
    except LeaseLost:
        _log.warning("lease_lost", loop="notices", waiting=len(waiting))
        return False


async def _send_all(world: World, mail: Mail, waiting: deque[Notice], hold: Hold) -> bool:
    """False when the server could not be reached, or was lost on the way."""
    is_connected = False
    try:
        async with asyncio.timeout(world.patience.step_s), _connected(mail) as server:
            is_connected = True
            while waiting:
                hold.check()
                await _send(world, server, mail, waiting[0])
                waiting.popleft()
    except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
        _log.warning("mail_server_lost", host=mail.host, error=repr(error), waiting=len(waiting))
        for place, notice in enumerate(waiting):
            if is_connected and place > 0:
                await world.db.write(notices.put_back, notice)
            else:
                await world.db.write(notices.failed, notice, repr(error), is_final=False)
        return False
    return True


async def _send(world: World, server: aiosmtplib.SMTP, mail: Mail, notice: Notice) -> None:
    """Raises what ended the connection; a refusal leaves it as it is."""
    try:
        await server.send_message(compose(mail, notice), sender=mail.sender, recipients=[notice.email])
    except (aiosmtplib.SMTPResponseException, aiosmtplib.SMTPRecipientsRefused) as error:
        if not server.is_connected:
            raise
        _log.warning("notice_refused", notice=notice.id, project=notice.project, error=repr(error))
        await world.db.write(notices.failed, notice, repr(error), is_final=is_final(error))
    else:
        await world.db.write(notices.delivered, notice)


@contextlib.asynccontextmanager
async def _connected(mail: Mail) -> AsyncIterator[aiosmtplib.SMTP]:
    """A server that accepted us. A certificate that does not name it, or is nobody's we trust, ends it here."""
    server = aiosmtplib.SMTP(
        hostname=mail.host,
        port=mail.port,
        username=mail.user,
        password=mail.password,
        # Ours to say: otherwise the library asks for this host's name over the network, and waits.
        local_hostname=mail.domain,
        timeout=mail.timeout_s,
        use_tls=mail.tls == "tls",
        start_tls=mail.tls == "starttls",
        tls_context=None if mail.tls == "none" else _trust(mail),
    )
    try:
        await server.connect()
        yield server
        with contextlib.suppress(aiosmtplib.SMTPException, OSError):
            await server.quit()
    finally:
        server.close()


def _trust(mail: Mail) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if mail.ca_file is not None:
        context.load_verify_locations(mail.ca_file)
    return context
