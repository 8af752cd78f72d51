"""Notices: who is told, what may stand in an e-mail, and an outbox that loses and doubles nothing."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from berth.base.clock import DAY, Instant
from berth.base.db import Database, Tx
from berth.core import events, notices
from berth.core.errors import Forbidden, Invalid
from berth.core.notices import MAX_ATTEMPTS, Notice, Status, addresses
from berth.core.notices.outbox import KEPT_DAYS, pause_s
from berth.core.notices.service import MAX_BODY, MAX_CONTACTS, MAX_SUBJECT, MAX_WAITING
from tests import make
from tests.conftest import FakeClock

LEASE_S = 100


def tell(db: Database, project: str, subject: str = "Low balance", text: str = "Add credit.") -> int:
    return db.write_now(notices.send, project, "billing.low_balance", subject, text)


def lease(db: Database, limit: int = 100) -> list[Notice]:
    return list(db.write_now(notices.lease_due, limit=limit, seconds=LEASE_S))


def told(db: Database, project: str) -> list[Notice]:
    return list(db.read_now(notices.list_for, project))


@pytest.fixture
def customer(db: Database) -> make.Customer:
    customer = make.project(db)
    db.write_now(notices.set_contacts, customer.by, ["ops@example.com"])
    return customer


def test_contacts_are_replaced_as_a_whole_and_kept_in_order(db: Database) -> None:
    customer = make.project(db)
    assert db.read_now(notices.contacts, customer.id) == []
    wanted = ["zoe@example.com", "a@example.org", "it+gpu@sub.example.com"]
    assert db.write_now(notices.set_contacts, customer.by, wanted) == wanted
    assert db.read_now(notices.contacts, customer.id) == wanted
    db.write_now(notices.set_contacts, customer.by, ["b@example.com"])
    assert db.read_now(notices.contacts, customer.id) == ["b@example.com"]
    db.write_now(notices.set_contacts, customer.by, [])
    assert db.read_now(notices.contacts, customer.id) == []


def test_contacts_are_each_project_s_own(db: Database, customer: make.Customer) -> None:
    other = make.project(db)
    db.write_now(notices.set_contacts, other.by, ["other@example.com"])
    tell(db, other.id)
    assert db.read_now(notices.contacts, customer.id) == ["ops@example.com"]
    assert told(db, customer.id) == []
    assert [notice.email for notice in told(db, other.id)] == ["other@example.com"]


def test_who_is_named_twice_is_told_once(db: Database, customer: make.Customer) -> None:
    kept = db.write_now(
        notices.set_contacts, customer.by, ["Ops@example.com", "b@example.com", "ops@EXAMPLE.com"]
    )
    assert kept == ["Ops@example.com", "b@example.com"]


def test_changing_contacts_is_recorded_without_the_addresses_and_once(
    db: Database, customer: make.Customer
) -> None:
    for _ in range(2):
        db.write_now(notices.set_contacts, customer.by, ["a@example.com", "b@example.com"])
    found = db.read_now(events.list_for, customer.by, customer.id)
    changes = [event.data for event in found if event.type == "project.contacts_changed"]
    assert changes == [{"count": 1}, {"count": 2}]


@pytest.mark.parametrize(
    "email",
    [
        "",
        "ops",
        "ops@",
        "@example.com",
        "a b@example.com",
        "ops@example.com\r\nBcc: all@example.com",
        "ops@example.com\n",
        "<ops@example.com>",
        "Ops <ops@example.com>",
        "a@b@example.com",
        "ops@exa_mple.com",
        "ops@-example.com",
        "ops@example..com",
        ".ops@example.com",
        "o..ps@example.com",
        '"ops"@example.com',
        "ops@[127.0.0.1]",
        "öps@example.com",
        "ops@exämple.com",
        "a@example.com,b@example.com",
        "x" * 65 + "@example.com",
        "ops@" + ".".join(["x" * 63] * 4) + ".com",
    ],
)
def test_what_is_no_address_is_refused_and_changes_nothing(
    db: Database, customer: make.Customer, email: str
) -> None:
    with pytest.raises(Invalid) as refusal:
        db.write_now(notices.set_contacts, customer.by, ["new@example.com", email])
    assert refusal.value.code == "invalid_field"
    assert refusal.value.details == {"field": "emails"}
    assert db.read_now(notices.contacts, customer.id) == ["ops@example.com"]


def test_too_many_contacts_are_refused(db: Database, customer: make.Customer) -> None:
    most = [f"ops{number}@example.com" for number in range(MAX_CONTACTS)]
    assert db.write_now(notices.set_contacts, customer.by, most) == most
    with pytest.raises(Invalid):
        db.write_now(notices.set_contacts, customer.by, [*most, "one@example.com"])


def test_only_who_may_change_billing_may_change_contacts(db: Database, customer: make.Customer) -> None:
    with pytest.raises(Forbidden):
        db.write_now(notices.set_contacts, make.allowed(customer.by, "billing:read"), [])


def test_every_contact_gets_an_e_mail_of_their_own(db: Database, customer: make.Customer) -> None:
    db.write_now(notices.set_contacts, customer.by, ["a@example.com", "b@example.com"])
    assert tell(db, customer.id, "Low balance", "Less than\na day.") == 2
    found = lease(db)
    assert sorted((notice.email, notice.subject_line, notice.body) for notice in found) == [
        ("a@example.com", "Low balance", "Less than\na day."),
        ("b@example.com", "Low balance", "Less than\na day."),
    ]
    assert {notice.kind for notice in found} == {"billing.low_balance"}
    assert len({notice.id for notice in found}) == 2


def test_a_project_without_contacts_is_told_nothing(db: Database) -> None:
    customer = make.project(db)
    assert tell(db, customer.id) == 0
    assert told(db, customer.id) == []
    assert db.read_now(notices.next_due) is None


def test_a_notice_goes_with_its_transaction(db: Database, customer: make.Customer) -> None:
    woken: list[str] = []
    db.on_signal = woken.append

    def changes_its_mind(tx: Tx) -> None:
        notices.send(tx, customer.id, "billing.depleted", "Empty", "No credit.")
        raise Invalid("no", "No.")

    with pytest.raises(Invalid):
        db.write_now(changes_its_mind)
    assert told(db, customer.id) == []
    assert woken == []
    tell(db, customer.id)
    assert woken == ["notices"]


def test_an_unknown_form_of_kind_is_our_own_mistake(db: Database, customer: make.Customer) -> None:
    for kind in ("", "Billing", "a b", "billing.", "billing\r\nX: y"):
        with pytest.raises(ValueError, match="kind"):
            db.write_now(notices.send, customer.id, kind, "x", "x")


def test_what_customers_wrote_cannot_end_a_header_or_hide(db: Database, customer: make.Customer) -> None:
    subject = "Stopped: a\r\nBcc: all@example.com\x00\x0b\u2028\u2029\x85\u202eevil\ud800 \t end"
    tell(db, customer.id, subject, "one\r\ntwo\x00three\u2028four\ud800\x1b[2J")
    (notice,) = told(db, customer.id)
    assert notice.subject_line == "Stopped: a Bcc: all@example.com evil end"
    assert notice.body == "one\ntwo three\nfour  [2J"


@given(st.text(alphabet=st.characters(), max_size=300))
def test_no_text_keeps_a_control_character(text: str) -> None:
    line = addresses.one_line(text, limit=100)
    body = addresses.lines(text, limit=100)
    assert len(line) <= 100
    assert len(body) <= 100
    for character in line + body.replace("\n", ""):
        assert unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert line.splitlines() in ([], [line])
    (line + body).encode()


def test_long_texts_are_cut(db: Database, customer: make.Customer) -> None:
    tell(db, customer.id, "s" * 1000, "b" * 100_000)
    (notice,) = told(db, customer.id)
    assert (len(notice.subject_line), len(notice.body)) == (MAX_SUBJECT, MAX_BODY)
    assert notice.body.endswith("b…")


def test_a_flood_of_causes_is_no_flood_of_e_mails(db: Database, customer: make.Customer) -> None:
    def flood(tx: Tx) -> int:
        return sum(notices.send(tx, customer.id, "a.b", "x", "y") for _ in range(MAX_WAITING + 20))

    assert db.write_now(flood) == MAX_WAITING
    assert tell(db, customer.id) == 0
    other = make.project(db)
    db.write_now(notices.set_contacts, other.by, ["other@example.com"])
    assert tell(db, other.id) == 1
    (taken,) = lease(db, limit=1)
    db.write_now(notices.delivered, taken)
    assert tell(db, customer.id) == 1


def test_what_is_taken_is_taken_once_and_again_when_its_holder_is_gone(
    db: Database, clock: FakeClock, customer: make.Customer
) -> None:
    tell(db, customer.id)
    (first,) = lease(db)
    assert first.attempt == 1
    assert lease(db) == []
    assert db.read_now(notices.next_due) == clock.now() + LEASE_S * 1_000_000
    clock.advance(seconds=LEASE_S)
    (second,) = lease(db)
    assert (second.id, second.attempt) == (first.id, 2)
    for late in (notices.delivered, notices.put_back):
        assert not db.write_now(late, first)
    assert not db.write_now(notices.failed, first, "late", is_final=True)
    assert db.write_now(notices.delivered, second)
    assert not db.write_now(notices.delivered, second)
    (notice,) = told(db, customer.id)
    assert (notice.status, notice.finished_at, notice.error) == (Status.SENT, clock.now(), None)
    assert db.read_now(notices.next_due) is None


def test_a_result_after_the_end_of_the_lease_does_not_count(
    db: Database, clock: FakeClock, customer: make.Customer
) -> None:
    tell(db, customer.id)
    (taken,) = lease(db)
    clock.advance(seconds=LEASE_S)
    assert not db.write_now(notices.delivered, taken)
    (notice,) = told(db, customer.id)
    assert notice.status is Status.QUEUED


def test_a_failure_is_tried_again_ever_later_and_not_for_ever(
    db: Database, clock: FakeClock, customer: make.Customer
) -> None:
    tell(db, customer.id)
    waited = []
    while (due_at := db.read_now(notices.next_due)) is not None:
        waited.append(due_at - clock.now())
        clock.set(due_at)
        (taken,) = lease(db)
        assert db.write_now(notices.failed, taken, "451 try\r\nlater", is_final=False)
    assert waited == [0, *(pause_s(attempt) * 1_000_000 for attempt in range(1, MAX_ATTEMPTS))]
    assert waited == sorted(waited)
    assert 12 * 3600 < sum(waited) / 1_000_000 < 36 * 3600
    (notice,) = told(db, customer.id)
    assert (notice.status, notice.attempt, notice.error) == (Status.FAILED, MAX_ATTEMPTS, "451 try later")


def test_a_refusal_for_good_is_the_last(db: Database, customer: make.Customer) -> None:
    tell(db, customer.id)
    (taken,) = lease(db)
    assert db.write_now(notices.failed, taken, "550 no such user", is_final=True)
    (notice,) = told(db, customer.id)
    assert (notice.status, notice.error) == (Status.FAILED, "550 no such user")
    assert db.read_now(notices.next_due) is None


def test_what_was_not_tried_is_no_attempt(db: Database, clock: FakeClock, customer: make.Customer) -> None:
    tell(db, customer.id)
    for _ in range(3):
        (taken,) = lease(db)
        assert taken.attempt == 1
        assert db.write_now(notices.put_back, taken)
        assert lease(db) == []
        clock.advance(seconds=60)


def test_what_is_due_while_nothing_can_be_sent_is_marked_so(
    db: Database, clock: FakeClock, customer: make.Customer
) -> None:
    tell(db, customer.id)
    tell(db, customer.id)
    tell(db, customer.id)
    (taken,) = lease(db, limit=1)
    assert db.write_now(notices.skip_due, limit=1) == 1
    assert db.write_now(notices.skip_due, limit=10) == 1
    states = sorted(notice.status for notice in told(db, customer.id))
    assert states == [Status.NOT_SENT, Status.NOT_SENT, Status.QUEUED]
    assert db.write_now(notices.delivered, taken)


def test_a_process_that_is_alone_takes_everything_back_at_its_start(
    db: Database, clock: FakeClock, customer: make.Customer
) -> None:
    tell(db, customer.id)
    (before,) = lease(db)
    db.write_now(notices.release_leases)
    assert not db.write_now(notices.delivered, before)
    assert [notice.id for notice in lease(db)] == [before.id]


def test_what_was_settled_long_ago_is_forgotten(
    db: Database, clock: FakeClock, customer: make.Customer
) -> None:
    tell(db, customer.id)
    (taken,) = lease(db)
    db.write_now(notices.delivered, taken)
    clock.set(Instant(clock.now() + KEPT_DAYS * DAY))
    tell(db, customer.id)
    assert db.write_now(notices.forget_old) == 0
    clock.advance(seconds=1)
    assert db.write_now(notices.forget_old) == 1
    assert [notice.status for notice in told(db, customer.id)] == [Status.QUEUED]
