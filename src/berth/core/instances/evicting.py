"""The verbs of what happens to instances from outside: spot is taken away, and terms end."""

from collections.abc import Sequence
from dataclasses import replace

from berth.base.clock import DAY, Instant
from berth.base.db import Tx
from berth.core import events
from berth.core.billing import Rules
from berth.core.errors import Conflict, Invalid, NotFound
from berth.core.events import ADMIN, Actor
from berth.core.instances import service, states, storage, store, terms
from berth.core.instances.announcing import announce
from berth.core.instances.model import Eviction, Extension, Instance, Wanted
from berth.core.instances.reasons import because

LATEST = 30 * DAY
"""How far ahead an eviction can be announced."""
_ACTOR = "loop:reservations"
_SENTENCE_LIMIT = 200


def evict(
    tx: Tx,
    by: Actor,
    instance_id: str,
    rules: Rules,
    *,
    at: Instant | None = None,
    sentence: str | None = None,
) -> Instance:
    """Takes a spot instance away: at once, or at `at`, of which its owner is told now. Only an operator may.

    It pays to the second, and no minimum. `sentence` says why, for its owner. Announced again, the later word holds.
    Raises NotFound, Forbidden, Invalid, and Conflict for what is no spot instance or has ended.
    """
    by.may(ADMIN)
    if sentence is not None and not (1 <= len(sentence) <= _SENTENCE_LIMIT and sentence.isprintable()):
        message = f"reason: must be 1 to {_SENTENCE_LIMIT} printable characters."
        raise Invalid("invalid_field", message, field="reason")
    if at is not None and at > tx.now + LATEST:
        raise Invalid("invalid_field", "at: must lie within thirty days.", field="at")
    instance = store.find_any(tx, instance_id)
    if instance is None or instance.project != by.project:
        raise NotFound("instance_not_found", "Instance not found.")
    if not instance.is_spot:
        raise Conflict("invalid_state", "Only spot instances can be evicted.")
    if instance.wanted is Wanted.DELETED or instance.status in states.ENDED:
        raise Conflict("invalid_state", "This instance has ended.", status=instance.status.value)
    if at is None or at <= tx.now:
        return _evict(tx, by, instance, rules, sentence)
    store.put_eviction(tx, Eviction(instance.id, at, sentence))
    changed = replace(instance, sequence=instance.sequence + 1, updated_at=tx.now)
    store.update(tx, instance.id, sequence=changed.sequence, updated_at=tx.now)
    announce(
        tx, by, "instance.interruption_notice", changed, reason=because("evicted", sentence), evicts_at=at
    )
    return changed


def eviction(tx: Tx, instance_id: str) -> Eviction | None:
    """When it is, or was, to be taken away, if that was announced."""
    return store.find_eviction(tx, instance_id)


def due_outside(tx: Tx, *, limit: int) -> Sequence[str]:
    """Ids of instances that `attend_outside` is to look at."""
    return [*store.due_evictions(tx, limit=limit), *store.due_terms(tx, limit=limit)][:limit]


def next_outside(tx: Tx) -> Instant | None:
    """When the next one is due."""
    return store.next_outside(tx)


def attend_outside(tx: Tx, instance_id: str, rules: Rules) -> None:
    """Takes the instance away if that was announced for now, and does what the end of its term brings."""
    instance = store.find_any(tx, instance_id)
    if instance is None:
        return
    if instance.wanted is Wanted.DELETED or instance.status in states.ENDED:
        store.end_eviction(tx, instance_id)
        store.plan_term(tx, instance_id, None)
        return
    announced = store.find_eviction(tx, instance_id)
    if announced is not None and announced.evicts_at <= tx.now:
        _evict(tx, events.system(instance.project, _ACTOR), instance, rules, announced.sentence)
        return
    kept = terms.term(tx, instance)
    if kept is None or kept.ends_at > tx.now:
        return
    if kept.extension is Extension.END_CONTRACT:
        store.plan_term(tx, instance_id, None)
        by = events.system(instance.project, _ACTOR)
        service.end(
            tx,
            by,
            instance,
            rules,
            reason=because("term_ended"),
            # The volumes of a cluster stay, whichever member ends first.
            keeps_volumes=instance.cluster_id is not None,
            os_volume=storage.fate_of_itself(instance),
        )
    else:
        terms.carry_on(tx, instance, kept)


def _evict(tx: Tx, by: Actor, instance: Instance, rules: Rules, sentence: str | None) -> Instance:
    store.end_eviction(tx, instance.id)
    return service.end(tx, by, instance, rules, reason=because("evicted", sentence), is_eviction=True)
