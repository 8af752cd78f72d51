"""What must hold of clusters and their members, whatever happened before; as `truth` for instances."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from berth.base.db import Database, Row
from berth.core import clusters
from berth.core.clusters import states
from berth.core.events import system
from tests.world import truth

_CLUSTERS = (
    "SELECT id, project_id, cluster_type, status, first_running_at, volume_ids FROM clusters ORDER BY id"
)


@dataclass(frozen=True)
class Whole:
    """A row of clusters, as far as it is judged."""

    id: str
    project: str
    cluster_type: str
    status: str
    first_running_at: int | None
    volume_ids: str


def problems(db: Database, *, at_rest: bool) -> list[str]:
    found = [f"instance {row[0]} is in no cluster" for row in truth.rows(db, _LOST)]
    for row in truth.rows(db, _CLUSTERS):
        whole = Whole(*row)
        said = [*_always(db, whole), *(_at_rest(db, whole) if at_rest else ())]
        found += [f"cluster {whole.id} ({whole.status}): {sentence}" for sentence in said]
    return found


_LOST = (
    "SELECT i.id FROM instances i LEFT JOIN clusters c ON c.id = i.cluster_id"
    " WHERE i.cluster_id IS NOT NULL AND c.id IS NULL"
)


def _members(db: Database, whole: Whole) -> Sequence[Row]:
    return truth.rows(
        db,
        "SELECT id, status, price_micros_per_hour, first_running_at FROM instances WHERE cluster_id = :id ORDER BY id",
        id=whole.id,
    )


def _always(db: Database, whole: Whole) -> Iterator[str]:
    """At every commit."""
    members = _members(db, whole)
    sold = truth.rows(
        db,
        "SELECT worker_count, price_micros_per_hour FROM cluster_types WHERE name = :name",
        name=whole.cluster_type,
    )
    if len(members) != sold[0][0] + 1:
        yield f"it has {len(members)} members"
    if sum(member[2] for member in members) != sold[0][1]:
        yield f"its members' prices are {[member[2] for member in members]}, its own is {sold[0][1]}"
    begun = {member[3] for member in members}
    if begun != {whole.first_running_at}:
        yield f"it has run since {whole.first_running_at}, its members since {begun}"
    if whole.status in {"error", "no_capacity"} and whole.first_running_at is None:
        paid = [truth.charged(db, member[0]) for member in members]
        if any(paid) or any(truth.held(db, member[0]) for member in members):
            yield f"it never ran, and cost {paid}"


def _at_rest(db: Database, whole: Whole) -> Iterator[str]:
    view = db.read_now(clusters.get, system(whole.project, "test"), whole.id)
    step = states.follow(view.cluster, [view.jump_host, *view.workers]).step
    if step is not states.Step.NOTHING:
        yield f"it is to {step.value}"
    home = view.volumes[0]
    if whole.first_running_at is None and whole.status != "provisioning":
        if not home.is_permanently_deleted or home.gone_at is None:
            yield f"it never ran, and its volume is {home.status.value}"
        if truth.charged(db, home.id):
            yield "it never ran, and its volume cost"
    if whole.status in {"running", "offline"}:
        has_home = {each.instance_id for each in home.attachments if each.mount_path == "/home"}
        if has_home != {view.jump_host.id, *(worker.id for worker in view.workers)}:
            yield f"its home is at {has_home}"
    if whole.status == "discontinued" and {member[1] for member in _members(db, whole)} != {"deleted"}:
        yield "some of it is left"
