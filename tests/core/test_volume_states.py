"""What a volume is, read off its row, and what each state allows: tables, and a walk through any sequence of acts."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from berth.base.clock import Instant
from berth.base.money import Micros
from berth.core.errors import Conflict
from berth.core.volumes import (
    Action,
    Attachment,
    Fate,
    Link,
    Status,
    Volume,
    Wanted,
    allowed,
    pending,
    states,
)
from berth.core.volumes.writing import settled

NOW = Instant(1_000_000)
BLANK = Volume(
    id="V",
    project="P",
    created_by="K",
    name="data",
    type="NVMe",
    location="FIN-01",
    provider="sandbox",
    size_gb=10,
    wanted_size_gb=10,
    is_shared=False,
    max_attachments=1,
    attaches_live=True,
    price_micros_per_gb_month=200_000,
    cost_micros_per_gb_month=100_000,
    os_of=None,
    born_with=None,
    fate=Fate.DETACH,
    handle="disk-1",
    status=Status.DETACHED,
    wanted=Wanted.KEPT,
    status_reason=None,
    created_at=NOW,
    updated_at=NOW,
    deleted_at=None,
    purge_at=None,
    gone_at=None,
    create_sent_at=NOW,
    missing_since=None,
    sequence=1,
    due_at=None,
    lease_token=0,
    attempt=0,
)


def volume(*links: Link, **members: object) -> Volume:
    """With an attachment for each of `links`, and what follows from that."""
    attached = tuple(
        Attachment("V", f"I{number}", f"data-{number}", link, NOW) for number, link in enumerate(links)
    )
    return settled(replace(BLANK, attachments=attached, **members), NOW)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("made", "status", "doing"),
    [
        (volume(), Status.DETACHED, None),
        (volume(handle=None), Status.ORDERED, None),
        (volume(Link.ATTACHING, handle=None), Status.ORDERED, None),
        (volume(Link.BOOT), Status.ATTACHING, None),
        (volume(Link.ATTACHING), Status.ATTACHING, None),
        (volume(Link.ATTACHED), Status.ATTACHED, None),
        (volume(Link.DETACHING), Status.ATTACHED, Action.DETACH),
        (volume(Link.LEAVING), Status.ATTACHED, Action.DETACH),
        (volume(Link.ATTACHED, Link.ATTACHING, is_shared=True), Status.ATTACHED, Action.ATTACH),
        (volume(Link.ATTACHED, Link.DETACHING, is_shared=True), Status.ATTACHED, Action.DETACH),
        (volume(wanted_size_gb=20), Status.DETACHED, Action.RESIZE),
        (volume(Link.ATTACHED, wanted_size_gb=20), Status.ATTACHED, Action.RESIZE),
        (volume(Link.LEAVING, wanted=Wanted.TRASHED), Status.ATTACHED, Action.DELETE),
        (volume(handle=None, cloning_from="S"), Status.CLONING, None),
        (volume(cloning_from="S"), Status.CLONING, None),
        (volume(cloning_from="S", wanted=Wanted.TRASHED), Status.DELETED, None),
        (volume(wanted=Wanted.TRASHED), Status.DELETED, None),
        (volume(wanted=Wanted.PURGED), Status.DELETED, Action.PURGE),
        (volume(wanted=Wanted.PURGED, gone_at=NOW), Status.DELETED, None),
    ],
)
def test_a_status_follows_from_the_row(made: Volume, status: Status, doing: Action | None) -> None:
    assert made.status is status
    assert pending(made) is doing


@pytest.mark.parametrize(
    ("made", "actions"),
    [
        (volume(), {Action.ATTACH, Action.RESIZE, Action.RENAME, Action.DELETE}),
        (volume(handle=None), {Action.RENAME, Action.DELETE}),
        (volume(Link.ATTACHING, handle=None), {Action.RENAME}),
        (volume(Link.ATTACHING), {Action.RENAME}),
        (volume(Link.ATTACHED), {Action.DETACH, Action.RESIZE, Action.RENAME}),
        (volume(Link.DETACHING), {Action.RESIZE, Action.RENAME}),
        (volume(Link.LEAVING), {Action.RESIZE, Action.RENAME}),
        (
            volume(Link.ATTACHED, is_shared=True, max_attachments=2),
            {Action.DETACH, Action.RESIZE, Action.RENAME, Action.ATTACH},
        ),
        (volume(Link.ATTACHING, is_shared=True, max_attachments=2), {Action.RENAME, Action.ATTACH}),
        (
            volume(Link.ATTACHED, Link.LEAVING, is_shared=True, max_attachments=2),
            {Action.DETACH, Action.RESIZE, Action.RENAME},
        ),
        (volume(cloning_from="S"), {Action.RENAME, Action.DELETE}),
        (volume(is_bootable=True), {Action.RESIZE, Action.RENAME, Action.DELETE}),
        (volume(is_bootable=True, wanted=Wanted.TRASHED), {Action.RESTORE, Action.PURGE}),
        (volume(wanted=Wanted.TRASHED), {Action.RESTORE, Action.PURGE}),
        (volume(wanted=Wanted.PURGED), set()),
        (volume(Link.LEAVING, wanted=Wanted.TRASHED), set()),
        (volume(Link.BOOT, born_with="I0"), {Action.RENAME}),
        (volume(Link.BOOT, born_with="I0", handle=None), {Action.RENAME}),
        (replace(BLANK, os_of="I0", status=Status.ATTACHED), {Action.RENAME}),
        (replace(BLANK, os_of="I0", status=Status.DELETED), set()),
    ],
)
def test_a_state_allows_these_actions_and_refuses_the_others(made: Volume, actions: set[Action]) -> None:
    assert set(allowed(made)) == actions
    for action in Action:
        if action in actions:
            states.check(made, action)
        else:
            with pytest.raises(Conflict):
                states.check(made, action)


@given(
    links=st.lists(st.sampled_from(Link), max_size=3),
    wanted=st.sampled_from(Wanted),
    handle=st.sampled_from([None, "disk-1"]),
    sent_at=st.sampled_from([None, NOW]),
    grows=st.booleans(),
    purge_at=st.sampled_from([None, Instant(NOW - 1), Instant(NOW + 1)]),
)
def test_whatever_the_row_says_its_state_is_sound(
    links: list[Link],
    wanted: Wanted,
    handle: str | None,
    sent_at: Instant | None,
    purge_at: Instant | None,
    *,
    grows: bool,
) -> None:
    made = volume(
        *links,
        wanted=wanted,
        handle=handle,
        create_sent_at=sent_at or (NOW if handle else None),
        wanted_size_gb=20 if grows else 10,
        purge_at=purge_at,
    )
    assert settled(made, NOW) == made, "what follows, follows from itself"
    if made.status is Status.DELETED:
        assert not made.attachments
        assert made.deleted_at is not None
        assert made.purge_at is not None
    else:
        assert made.deleted_at is made.purge_at is None
    if made.status in {Status.ATTACHED, Status.ATTACHING}:
        assert made.attachments
    if made.due_at is None and made.wanted is Wanted.KEPT:
        waits = {Link.BOOT, Link.LEAVING, Link.ATTACHED}
        assert made.handle is not None
        assert {each.link for each in made.attachments} <= waits
    assert made.price_micros_per_month == Micros(2_000_000)
