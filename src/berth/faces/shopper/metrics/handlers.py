"""Metrics: one look at the database, beside what was counted as it happened."""

from collections.abc import Iterator, Sequence

from berth.base.db import Tx
from berth.base.meters import CONTENT_TYPE, Reading
from berth.base.money import USD
from berth.core import reports, sessions
from berth.core.reports import Backlog
from berth.core.sessions import Status
from berth.faces.face import Call, Text


def get_metrics(tx: Tx, call: Call) -> Text:
    read = [*_sessions(sessions.counts(tx)), *_readings(reports.backlog_of_all(tx))]
    return Text(call.context.meters.text(read), CONTENT_TYPE)


def _sessions(counts: Sequence[tuple[str, Status, int]]) -> Iterator[Reading]:
    yield Reading(
        "gpu_sessions_active",
        "Sessions that are not at their end.",
        [((provider, status.value), count) for provider, status, count in counts],
        ("provider", "status"),
    )


def _readings(backlog: Backlog) -> Iterator[Reading]:
    yield Reading(
        "gpu_cost_accrued_usd",
        "What sessions whose instances are still there have cost until now, in dollars.",
        [((provider,), cost / USD) for provider, cost in backlog.accrued],
        ("provider",),
    )
    yield Reading(
        "berth_instances",
        "Instances that are not deleted, by their status.",
        [((provider, status), count) for provider, status, count in backlog.instances],
        ("provider", "status"),
    )
    yield Reading(
        "berth_deliveries_waiting",
        "Deliveries to webhooks that are not done, by how far they are; ten thousand at most.",
        [((stage,), count) for stage, count in backlog.deliveries],
        ("stage",),
    )
    for name, what, value in (
        (
            "berth_instances_due",
            "Instances of which a loop has to take the next step.",
            backlog.instances_due,
        ),
        (
            "berth_endings_late",
            "Instances whose end was asked for ten minutes ago and is not confirmed.",
            backlog.late_endings,
        ),
        ("berth_outbox_waiting", "E-mails that are not sent.", backlog.notices),
        ("berth_waitlist_waiting", "Entries of the waitlist that wait.", backlog.waitlist),
        ("berth_balances_usd", "All projects' balances, in dollars.", backlog.balances / USD),
        ("berth_holds_usd", "What of them is held, in dollars.", backlog.holds / USD),
        ("berth_projects_owing", "Projects whose balance is below zero.", backlog.owing),
        ("berth_orphans", "Orphans that are there now.", backlog.orphans),
        ("berth_orphans_cost_usd", "What these have cost until now, in dollars.", backlog.orphans_cost / USD),
    ):
        yield Reading(name, what, [((), value)])
