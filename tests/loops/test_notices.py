"""E-mail through a real server on loopback: what arrives, what is refused, and what is lost on the way."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import aiosmtplib
import pytest
from structlog.typing import EventDict

from berth.base.clock import Instant
from berth.core import notices
from berth.core.notices import Notice, Status
from berth.loops.notices import BATCH, Trouble, compose, is_final, tick
from berth.loops.world import Mail
from berth.loops.world import World as LoopWorld
from tests import make
from tests.loops.mailbox import SENDER, certified, opened, silent
from tests.world.world import World

OPS = "ops@example.com"


def with_mail(world: World, mail: Mail | None) -> LoopWorld:
    return replace(world.loops, mail=mail)


def customer(world: World, *emails: str) -> make.Customer:
    made = make.project(world.db)
    world.act(notices.set_contacts, made.by, emails or (OPS,))
    return made


def tell(world: World, project: str, subject: str = "Low balance", text: str = "Add credit.") -> None:
    world.act(notices.send, project, "billing.low_balance", subject, text)


def told(world: World, project: str) -> dict[str, Notice]:
    """The latest by address."""
    return {notice.email: notice for notice in reversed(world.db.read_now(notices.list_for, project))}


def statuses(world: World, project: str) -> Sequence[Status]:
    return [notice.status for notice in world.db.read_now(notices.list_for, project)]


async def test_a_notice_arrives_as_plain_text_from_us(world: World) -> None:
    async with opened() as mailbox:
        project = customer(world).id
        tell(
            world,
            project,
            "Low balance: $19.00",
            "Less than a day is left.\n.\n.dots\nGrüße 訓練\n" + "x" * 2000,
        )
        report = await tick(with_mail(world, mailbox.mail()))
        assert report.done == 1
        ((recipients, message),) = mailbox.received
        notice = told(world, project)[OPS]
        assert recipients == [OPS]
        assert (message["From"], message["To"], message["Subject"]) == (SENDER, OPS, "Low balance: $19.00")
        assert message["Message-ID"] == f"<{notice.id}@cloud.example>"
        assert message["Date"].datetime.timestamp() == notice.created_at // 1_000_000
        assert message["Auto-Submitted"] == "auto-generated"
        assert message.get_content_type() == "text/plain"
        assert message.get_content().replace("\r\n", "\n") == notice.body + "\n"
        assert notice.status is Status.SENT
        await tick(with_mail(world, mailbox.mail()))
        assert len(mailbox.received) == 1


async def test_what_a_customer_wrote_adds_no_header_and_no_recipient(world: World) -> None:
    async with opened() as mailbox:
        project = customer(world).id
        tell(
            world,
            project,
            "Off: x\r\nBcc: all@example.com\r\n\r\nHi",
            "\r\n.\r\nMAIL FROM:<x@example.com>\r\n",
        )
        await tick(with_mail(world, mailbox.mail()))
        ((recipients, message),) = mailbox.received
        assert recipients == [OPS]
        assert message["Subject"] == "Off: x Bcc: all@example.com Hi"
        assert message["Bcc"] is None
        assert "MAIL FROM" in message.get_content()
        assert sorted(message.keys()) == sorted(
            "From To Subject Date Message-ID Auto-Submitted Content-Type Content-Transfer-Encoding MIME-Version".split()
        )


async def test_nobody_sees_who_else_is_told(world: World) -> None:
    async with opened() as mailbox:
        project = customer(world, "a@example.com", "b@example.com", "o'neil+x{}@example.com").id
        tell(world, project)
        await tick(with_mail(world, mailbox.mail()))
        assert sorted((recipients, message["To"]) for recipients, message in mailbox.received) == [
            (["a@example.com"], "a@example.com"),
            (["b@example.com"], "b@example.com"),
            (["o'neil+x{}@example.com"], "o'neil+x{}@example.com"),
        ]
        assert mailbox.connections == 1


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ("550 5.1.1 no such user", Status.FAILED),
        ("450 4.2.1 try later", Status.QUEUED),
        ("554 5.7.1 relay access denied", Status.QUEUED),
        ("530 authentication needed", Status.QUEUED),
    ],
)
async def test_a_refused_recipient_holds_nobody_else_up(
    world: World, log: list[EventDict], answer: str, status: Status
) -> None:
    async with opened() as mailbox:
        project = customer(world, "a@example.com", "b@example.com", "c@example.com").id
        tell(world, project)
        mailbox.recipients = lambda address: answer if address == "b@example.com" else None
        await tick(with_mail(world, mailbox.mail()))
        seen = told(world, project)
        assert [seen[email].status for email in sorted(seen)] == [Status.SENT, status, Status.SENT]
        assert answer[4:] in (seen["b@example.com"].error or "")
        assert "notice_refused" in [entry["event"] for entry in log]
        mailbox.recipients = lambda _: None
        world.turn(60)
        await tick(with_mail(world, mailbox.mail()))
        assert len(mailbox.received) == (2 if status is Status.FAILED else 3)


async def test_a_refused_content_is_final_and_a_refused_sender_is_not(world: World) -> None:
    async with opened() as mailbox:
        project = customer(world).id
        tell(world, project, "evil")
        mailbox.contents = lambda _: "552 5.3.4 too big"
        await tick(with_mail(world, mailbox.mail()))
        assert statuses(world, project) == [Status.FAILED]
        other = customer(world).id
        tell(world, other)
        mailbox.senders = lambda _: "553 5.1.8 who are you"
        await tick(with_mail(world, mailbox.mail()))
        assert statuses(world, other) == [Status.QUEUED]


async def test_a_server_that_cannot_be_reached_is_tried_later(world: World, log: list[EventDict]) -> None:
    async with opened() as mailbox:
        pass
    project = customer(world).id
    tell(world, project)
    report = await tick(with_mail(world, mailbox.mail()))
    assert report.wake_at == world.clock.now() + 30_000_000
    assert told(world, project)[OPS].attempt == 1
    assert told(world, project)[OPS].error
    assert "mail_server_lost" in [entry["event"] for entry in log]
    world.turn(30)
    async with opened() as mailbox:
        await tick(with_mail(world, mailbox.mail()))
        assert len(mailbox.received) == 1


async def test_a_server_that_hangs_costs_no_more_than_its_limit(world: World) -> None:
    project = customer(world).id
    tell(world, project)
    async with silent() as port:
        mail = Mail(host="127.0.0.1", port=port, sender=SENDER, tls="none", timeout_s=0.05)
        await asyncio.wait_for(tick(with_mail(world, mail)), 10)
        tell(world, project)
        impatient = replace(
            with_mail(world, replace(mail, timeout_s=60)), patience=replace(world.patience, step_s=0.5)
        )
        await asyncio.wait_for(tick(impatient), 10)
    assert statuses(world, project) == [Status.QUEUED, Status.QUEUED]


async def test_what_waits_behind_an_e_mail_that_ends_the_connection_was_not_tried(world: World) -> None:
    async with opened() as mailbox:
        project = customer(world, *(f"{name}@example.com" for name in "abcd")).id
        tell(world, project)
        mailbox.recipients = lambda _: "421 4.3.2 going down" if len(mailbox.received) == 1 else None
        await tick(with_mail(world, mailbox.mail()))
        attempts = sorted((notice.status, notice.attempt) for notice in told(world, project).values())
        assert attempts == [
            (Status.QUEUED, 0),
            (Status.QUEUED, 0),
            (Status.QUEUED, 1),
            (Status.SENT, 1),
        ]
        mailbox.recipients = lambda _: None
        world.turn(30)
        await tick(with_mail(world, mailbox.mail()))
        assert statuses(world, project) == [Status.SENT] * 4
        assert len(mailbox.received) == 4


async def test_killed_after_the_server_took_it_it_is_sent_again_as_the_same(world: World) -> None:
    async with opened() as mailbox:
        project = customer(world).id
        tell(world, project)
        dying = asyncio.create_task(_sent(with_mail(world, mailbox.mail())))
        mailbox.on_taken = lambda: None if dying.done() else (dying.cancel(), None)[1]
        with pytest.raises(asyncio.CancelledError):
            await dying
        assert statuses(world, project) == [Status.QUEUED]
        await tick(with_mail(world, mailbox.mail()))
        assert len(mailbox.received) == 1
        world.turn(world.patience.lease_s)
        await tick(with_mail(world, mailbox.mail()))
        assert statuses(world, project) == [Status.SENT]
        assert len(mailbox.received) == 2
        assert len({message["Message-ID"] for _, message in mailbox.received}) == 1
        assert len(set(mailbox.raw)) == 1


async def _sent(world: LoopWorld) -> None:
    await tick(world)


async def test_several_processes_send_each_once(world: World) -> None:
    async with opened() as mailbox:
        project = customer(world, *(f"ops{number}@example.com" for number in range(10))).id
        for _ in range(10):
            tell(world, project)
        mail = with_mail(world, mailbox.mail())
        await asyncio.gather(*(tick(mail) for _ in range(5)))
        assert len(mailbox.received) == 100
        assert len({message["Message-ID"] for _, message in mailbox.received}) == 100


async def test_what_one_tick_does_not_send_the_next_does_at_once(world: World) -> None:
    async with opened() as mailbox:
        project = customer(world).id
        for _ in range(BATCH + 1):
            tell(world, project)
        assert (await tick(with_mail(world, mailbox.mail()))).has_more
        assert len(mailbox.received) == BATCH
        assert not (await tick(with_mail(world, mailbox.mail()))).has_more
        assert len(mailbox.received) == BATCH + 1
        assert mailbox.connections == 2


async def test_without_a_mail_server_it_is_said_and_marked(world: World, log: list[EventDict]) -> None:
    project = customer(world).id
    tell(world, project)
    await tick(with_mail(world, None))
    assert statuses(world, project) == [Status.NOT_SENT]
    (warning,) = [entry for entry in log if entry["event"] == "notices_not_sent"]
    assert warning["count"] == 1
    async with opened() as mailbox:
        await tick(with_mail(world, mailbox.mail()))
        assert mailbox.received == []


@pytest.mark.parametrize("tls", ["starttls", "tls"])
async def test_a_login_goes_over_an_encrypted_connection(world: World, tmp_path: Path, tls: str) -> None:
    context, authority = certified(tmp_path)
    async with opened(**{tls: context}) as mailbox:
        project = customer(world).id
        tell(world, project)
        login = {"user": "berth", "password": "secret"} if tls == "starttls" else {}
        await tick(with_mail(world, mailbox.mail(tls=tls, ca_file=authority, **login)))
        assert statuses(world, project) == [Status.SENT]
        assert mailbox.logins == ([(b"berth", b"secret")] if login else [])


@pytest.mark.parametrize("tls", ["starttls", "tls"])
async def test_a_server_nobody_vouches_for_is_told_nothing(world: World, tmp_path: Path, tls: str) -> None:
    context, _ = certified(tmp_path)
    async with opened(**{tls: context}) as mailbox:
        project = customer(world).id
        tell(world, project)
        await tick(with_mail(world, mailbox.mail(tls=tls, user="berth", password="secret")))
        assert (mailbox.logins, mailbox.received) == ([], [])
        assert statuses(world, project) == [Status.QUEUED]


async def test_a_server_that_does_not_encrypt_is_told_nothing(world: World) -> None:
    async with opened() as mailbox:
        project = customer(world).id
        tell(world, project)
        await tick(with_mail(world, mailbox.mail(tls="starttls", user="berth", password="secret")))
        assert (mailbox.logins, mailbox.received) == ([], [])
        assert statuses(world, project) == [Status.QUEUED]


async def test_a_wrong_password_is_the_operators_matter(world: World, tmp_path: Path) -> None:
    context, authority = certified(tmp_path)
    async with opened(starttls=context) as mailbox:
        project = customer(world).id
        tell(world, project)
        mail = mailbox.mail(tls="starttls", ca_file=authority, user="berth", password="incorrect-horse")
        await tick(with_mail(world, mail))
        assert statuses(world, project) == [Status.QUEUED]
        assert "incorrect-horse" not in repr(mail)
        assert "incorrect-horse" not in (told(world, project)[OPS].error or "")


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (aiosmtplib.SMTPRecipientRefused(550, "5.1.1 unknown", OPS), True),
        (aiosmtplib.SMTPRecipientRefused(550, "unknown", OPS), True),
        (aiosmtplib.SMTPRecipientRefused(452, "full", OPS), False),
        (aiosmtplib.SMTPRecipientRefused(554, "5.7.1 relay denied", OPS), False),
        (aiosmtplib.SMTPRecipientRefused(530, "login", OPS), False),
        (aiosmtplib.SMTPRecipientsRefused([aiosmtplib.SMTPRecipientRefused(551, "gone", OPS)]), True),
        (aiosmtplib.SMTPRecipientsRefused([aiosmtplib.SMTPRecipientRefused(451, "later", OPS)]), False),
        (aiosmtplib.SMTPDataError(552, "too big"), True),
        (aiosmtplib.SMTPDataError(451, "later"), False),
        (aiosmtplib.SMTPSenderRefused(553, "who", SENDER), False),
        (aiosmtplib.SMTPAuthenticationError(535, "wrong"), False),
        (aiosmtplib.SMTPServerDisconnected("gone"), False),
        (aiosmtplib.SMTPReadTimeoutError("slow"), False),
        (ConnectionRefusedError(), False),
        (TimeoutError(), False),
    ],
)
def test_only_an_answer_about_the_e_mail_itself_is_final(error: Trouble, wanted: bool) -> None:
    assert is_final(error) is wanted


def test_an_e_mail_is_the_same_each_time_it_is_made() -> None:
    mail = Mail(host="mail.example", port=587, sender=SENDER)
    notice = Notice(
        "01", "project", "a.b", OPS, "Zürich", "Grüße", Status.QUEUED, Instant(1), 1, 1, None, None
    )
    assert bytes(compose(mail, notice)) == bytes(compose(mail, notice))
