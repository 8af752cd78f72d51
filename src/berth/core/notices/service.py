"""The verbs for whoever has something to tell: who is told, and telling them."""

import re
from collections.abc import Sequence

from berth.base import ids
from berth.base.db import Tx
from berth.core import events, projects
from berth.core.errors import Invalid
from berth.core.events import Actor
from berth.core.notices import addresses, store
from berth.core.notices.model import Notice, Status

MAX_CONTACTS = 10
MAX_WAITING = 500
"""E-mails of one project that wait at once; what comes on top is dropped."""
MAX_SUBJECT = 150
MAX_BODY = 20_000
_KIND = re.compile(r"[a-z][a-z_]*(\.[a-z][a-z_]*)*")


def contacts(tx: Tx, project: str) -> Sequence[str]:
    """The addresses that notices of `project` go to, in the order given."""
    return store.contacts(tx, project, limit=MAX_CONTACTS)


def set_contacts(tx: Tx, by: Actor, emails: Sequence[str]) -> Sequence[str]:
    """Replaces all contacts; none is allowed. Raises Invalid naming what is no address. Answers what is kept."""
    by.may("billing:write")
    wrong = [email for email in emails if not addresses.is_address(email)]
    if wrong:
        raise Invalid("invalid_field", f"emails: not an e-mail address: {wrong[0][:80]!r}.", field="emails")
    # Most servers do not tell upper from lower case; who is named twice is told once.
    kept: dict[str, str] = {}
    for email in emails:
        kept.setdefault(email.casefold(), email)
    wanted = list(kept.values())
    if len(wanted) > MAX_CONTACTS:
        raise Invalid("invalid_field", f"emails: at most {MAX_CONTACTS} addresses.", field="emails")
    projects.lock(tx, by)
    if wanted != contacts(tx, by.project):
        store.replace_contacts(tx, by.project, wanted)
        events.record(tx, by, "project.contacts_changed", subject=by.project, data={"count": len(wanted)})
    return wanted


def send(tx: Tx, project: str, kind: str, subject_line: str, text: str) -> int:
    """Has every contact of `project` told, once this transaction commits. Answers how many e-mails that makes.

    Texts may hold what customers wrote: what does not belong in a line, or is too long, is taken out or cut.
    A customer who has many unsent e-mails is sent no more, so that a flood of causes is none of notices.
    """
    if not _KIND.fullmatch(kind):
        raise ValueError(f"not a kind of notice: {kind!r}")
    subject = addresses.one_line(subject_line, limit=MAX_SUBJECT)
    body = addresses.lines(text, limit=MAX_BODY)
    room = MAX_WAITING - store.count_waiting(tx, project, limit=MAX_WAITING)
    emails = contacts(tx, project)[: max(0, room)]
    for email in emails:
        notice = Notice(
            ids.new(tx.now), project, kind, email, subject, body, Status.QUEUED, tx.now, 0, 0, None, None
        )
        store.insert(tx, notice)
    if emails:
        tx.signal("notices")
    return len(emails)


def list_for(tx: Tx, project: str, *, limit: int = 100) -> Sequence[Notice]:
    """What `project` was told lately, newest first."""
    return store.list_for(tx, project, limit=limit)
