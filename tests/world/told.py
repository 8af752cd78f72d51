"""What must hold of what was told: one event for each change, and nobody overtaken in line.

Events of a subject are numbered without a gap; who subscribed was told of each once; who waits longest is served
first, at most once.
"""

from collections.abc import Iterator, Mapping

from berth.base.db import Database
from berth.core import waitlist
from berth.core.events import catalogue
from tests.world.truth import rows

# A boot disk begins with its instance, of which alone is told then.
_GAPS = (
    "SELECT subject, COUNT(*), MIN(sequence), MAX(sequence) FROM events GROUP BY subject"
    " HAVING MAX(sequence) - MIN(sequence) + 1 <> COUNT(*) OR MIN(sequence) >"
    " 1 + (SELECT COUNT(*) FROM volumes v WHERE v.id = subject AND v.is_bootable = 1)"
)
_MISCOUNTED = (
    "SELECT id, sequence, last FROM (SELECT s.id, s.sequence, (SELECT MAX(e.sequence) FROM events e"
    " WHERE e.subject = s.id) AS last FROM (SELECT id, sequence FROM instances UNION ALL SELECT id, sequence"
    " FROM waitlist_entries UNION ALL SELECT id, sequence FROM volumes WHERE os_of IS NULL) AS s) AS counted"
    " WHERE last IS NULL OR last <> sequence"
)
_LAST_STATUS = (
    "SELECT i.id, i.status, e.type FROM instances i JOIN events e ON e.subject = i.id AND e.sequence ="
    " (SELECT MAX(sequence) FROM events l WHERE l.subject = i.id AND l.type IN ('instance.ordered',"
    " 'instance.provisioning', 'instance.running', 'instance.offline', 'instance.error', 'instance.deleting',"
    " 'instance.deleted', 'instance.failed_no_capacity')) WHERE e.type <> 'instance.' || i.status"
)
_TWICE = (
    "SELECT d.entry_id, COUNT(*) FROM waitlist_deployments d JOIN instances i ON i.id = d.instance_id"
    " WHERE NOT EXISTS (SELECT 1 FROM events e WHERE e.subject = i.id AND e.type = 'instance.failed_no_capacity')"
    " GROUP BY d.entry_id HAVING COUNT(*) > 1"
)
# Somebody with a lower ticket who was, and is, ready to be deployed in that very place, and had nothing there yet.
_OVERTAKEN = (
    "SELECT w.id, w.ticket, s.id, s.ticket, g.type FROM events g JOIN waitlist_entries s ON s.id = g.subject"
    " JOIN waitlist_entries w ON w.instance_type = s.instance_type AND w.ticket < s.ticket"
    " WHERE g.type IN ('gpu.available', 'waitlist.deploying') AND w.status = 'waiting' AND w.is_auto = 1"
    " AND w.blocked_reason IS NULL AND w.attempts = 0 AND w.location = s.granted_location"
    " AND s.status IN ('notified', 'deploying', 'fulfilled')"
    " AND g.seq > (SELECT MAX(l.seq) FROM events l WHERE l.subject = w.id)"
    " AND NOT EXISTS (SELECT 1 FROM waitlist_entries o WHERE o.project_id = w.project_id AND o.id <> w.id"
    " AND o.granted_location IS NOT NULL)"
    # What it had there then, it may have missed since.
    " AND NOT EXISTS (SELECT 1 FROM events m JOIN waitlist_entries o ON o.id = m.subject"
    " WHERE m.type = 'waitlist.claim_missed' AND m.seq > g.seq AND o.project_id = w.project_id AND o.id <> w.id)"
)


def problems(db: Database, subscribed: Mapping[str, tuple[str, int]]) -> list[str]:
    """`subscribed` are webhooks that are told of everything: the project of each, and the last event before it."""
    found = [f"{row[0]}: {row[1]} events, numbered {row[2]} to {row[3]}" for row in rows(db, _GAPS)]
    found += [f"{row[0]} has had {row[1]} changes, its events say {row[2]}" for row in rows(db, _MISCOUNTED)]
    found += [f"{row[0]} is {row[1]}, the last event was {row[2]}" for row in rows(db, _LAST_STATUS)]
    found += db.read_now(waitlist.verify)
    found += [f"waitlist entry {row[0]} was deployed {row[1]} times" for row in rows(db, _TWICE)]
    found += [
        f"waitlist entry {row[0]}, ticket {row[1]}, was overtaken by {row[2]}, ticket {row[3]}: {row[4]}"
        for row in rows(db, _OVERTAKEN)
    ]
    for webhook, (project, since) in subscribed.items():
        found += _deliveries(db, webhook, project, since)
    return found


def _deliveries(db: Database, webhook: str, project: str, since: int) -> Iterator[str]:
    happened = [
        row[0]
        for row in rows(
            db,
            "SELECT id, type FROM events WHERE project_id = :project AND seq > :since ORDER BY id",
            project=project,
            since=since,
        )
        if row[1] in catalogue.CATALOGUE
    ]
    told = [
        row[0]
        for row in rows(
            db,
            "SELECT event_id FROM deliveries WHERE webhook_id = :webhook ORDER BY event_id",
            webhook=webhook,
        )
    ]
    if told != happened:
        lost, more = set(happened) - set(told), len(told) - len(set(told))
        yield f"webhook {webhook} is not told of {sorted(lost)}, of {more} events twice"
