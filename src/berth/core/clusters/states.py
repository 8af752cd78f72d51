"""What a cluster is, and what is to be done with it, read off its members. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from berth.core import instances
from berth.core.clusters.model import Cluster, Status, Wanted
from berth.core.instances import FAILED as MEMBER_FAILED
from berth.core.instances import Instance

FAILED = frozenset({Status.ERROR, Status.NO_CAPACITY})


class Step(StrEnum):
    NOTHING = "nothing"
    SHOW = "show"
    """Only what is shown changes."""
    MUSTER = "muster"
    """All members could run: they do."""
    FAIL = "fail"
    """It will never be whole: what there is of it ends, at no charge."""
    END = "end"
    """Some member was ended from outside: the others end with it."""


@dataclass(frozen=True, slots=True)
class Outlook:
    step: Step
    status: Status
    reason: str | None = None


def follow(cluster: Cluster, members: Sequence[Instance]) -> Outlook:
    """What comes next. Nothing, when the cluster is what its members say."""
    outlook = _outlook(cluster, members)
    if outlook.step is Step.SHOW and (outlook.status, outlook.reason) == (
        cluster.status,
        cluster.status_reason,
    ):
        return Outlook(Step.NOTHING, cluster.status)
    return outlook


def _outlook(cluster: Cluster, members: Sequence[Instance]) -> Outlook:
    if cluster.wanted is Wanted.DISCONTINUED:
        is_gone = all(member.status is instances.Status.DELETED for member in members)
        return Outlook(Step.SHOW, Status.DISCONTINUED if is_gone else Status.DELETING, cluster.status_reason)
    if cluster.first_running_at is None:
        return _before_it_runs(cluster, members)
    ended = _first(members, lambda member: member.wanted is instances.Wanted.DELETED)
    if ended is not None:
        return Outlook(Step.END, Status.DELETING, ended.status_reason)
    failed = _first(members, lambda member: member.status in MEMBER_FAILED)
    if failed is not None:
        # Whoever still works on the other members goes on: its owner decides when that ends.
        return Outlook(Step.SHOW, Status.ERROR, failed.status_reason)
    off = _first(members, lambda member: member.status is not instances.Status.RUNNING)
    if off is not None:
        return Outlook(Step.SHOW, Status.OFFLINE, off.status_reason)
    return Outlook(Step.SHOW, Status.RUNNING)


def _before_it_runs(cluster: Cluster, members: Sequence[Instance]) -> Outlook:
    if cluster.status in FAILED:
        return Outlook(Step.NOTHING, cluster.status)
    failed = _first(members, lambda member: member.status in MEMBER_FAILED)
    if failed is not None:
        is_sold_out = failed.status is instances.Status.FAILED_NO_CAPACITY
        return Outlook(Step.FAIL, Status.NO_CAPACITY if is_sold_out else Status.ERROR, failed.status_reason)
    ended = _first(members, lambda member: member.wanted is instances.Wanted.DELETED)
    if ended is not None:
        return Outlook(Step.END, Status.DELETING, ended.status_reason)
    if all(instances.is_ready(member) for member in members):
        return Outlook(Step.MUSTER, Status.RUNNING)
    return Outlook(Step.SHOW, Status.PROVISIONING)


def _first(members: Sequence[Instance], is_so: Callable[[Instance], bool]) -> Instance | None:
    return next((member for member in members if is_so(member)), None)
