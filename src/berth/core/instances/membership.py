"""Members of a cluster: instances that are ordered, run and end together.

They are instances like all others, made and watched by the same loops; what is different is that nobody stops or
deletes one alone, that none is placed again elsewhere, and that the clocks of all start in one transaction.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from berth.base import ids
from berth.base.db import Tx
from berth.base.money import Micros
from berth.core import billing, catalog, volumes
from berth.core.billing import Rules
from berth.core.catalog import InstanceType, Offer
from berth.core.errors import NoCapacity
from berth.core.events import Actor
from berth.core.instances import guards, lifecycle, ordering, service, states, store, terms
from berth.core.instances.affording import check_hourly
from berth.core.instances.announcing import announce
from berth.core.instances.model import Contract, Instance, OrderSpec, Wanted
from berth.core.instances.ordering import Choice
from berth.core.volumes import Fate, SharedCargo

OS_VOLUME_TYPE = "NVMe_OS_Cluster"


@dataclass(frozen=True, slots=True)
class Post:
    """One member as its cluster orders it."""

    kind: InstanceType
    offer: Offer
    hostname: str
    price: Micros
    """Per hour, without what a long term takes off it."""


def enlist(
    tx: Tx,
    by: Actor,
    cluster_id: str,
    spec: OrderSpec,
    choice: Choice,
    posts: Sequence[Post],
    cargo: SharedCargo,
    rules: Rules,
) -> tuple[Sequence[Instance], Sequence[str]]:
    """Orders every member of a cluster, in the order of `posts`, and the ids of the volumes that all of them have.

    `spec` and `choice`, which was looked up from it, say what is common. The caller holds the lines of all types.
    Raises as `order`, and nothing is kept then.
    """
    period = None
    if spec.contract is Contract.LONG_TERM:
        period = terms.pick_period(rules.cluster_periods, spec.long_term_period)
    for post in posts:
        guards.check_hostname(tx, by, replace(spec, hostname=post.hostname))
    # By id they are in this order, always: they are listed by it, and locked by it.
    member_ids = sorted(ids.new(tx.now) for _ in posts)
    _claim(tx, dict(zip(member_ids, posts, strict=True)))
    prices = [
        post.price if period is None else billing.discounted(post.price, period.discount_percentage)
        for post in posts
    ]
    billing.gate_together(tx, by.project, dict(zip(member_ids, prices, strict=True)), rules)
    check_hourly(tx, by.project, Micros(sum(prices)))
    volume_ids = volumes.board_shared(tx, by, cargo, member_ids, posts[0].offer.provider)
    members = []
    for member_id, post, price in zip(member_ids, posts, prices, strict=True):
        is_bound = period is not None and post.price > 0
        member = ordering.drafted(
            by,
            replace(spec, hostname=post.hostname, contract=None if not is_bound else Contract.LONG_TERM),
            replace(choice, kind=post.kind),
            replace(post.offer, price=price),
            instance_id=member_id,
            volume_ids=volume_ids,
            now=tx.now,
        )
        member = replace(member, cluster_id=cluster_id)
        store.insert(tx, member)
        if period is not None and is_bound:
            terms.begin(tx, member, period, spec.extension, post.price)
        ordering.add_disk(tx, by, member, eviction_fate=Fate.PURGE, volume_type=OS_VOLUME_TYPE)
        announce(tx, by, "instance.ordered", member)
        members.append(member)
    return members, volume_ids


def of_cluster(tx: Tx, cluster_id: str, *, lock: bool = False) -> Sequence[Instance]:
    """Every member, in the order they were ordered in. For whoever watches over clusters."""
    return store.of_clusters(tx, [cluster_id], lock=lock)


def of_clusters(tx: Tx, cluster_ids: Sequence[str]) -> Mapping[str, Sequence[Instance]]:
    """The members of each."""
    found: dict[str, list[Instance]] = defaultdict(list)
    if cluster_ids:
        for member in store.of_clusters(tx, cluster_ids):
            assert member.cluster_id is not None
            found[member.cluster_id].append(member)
    return found


def muster(tx: Tx, members: Sequence[Instance], *, bills_boot: bool) -> None:
    """All of them could run: they do, from this instant on. The caller has locked them."""
    for member in members:
        # Whoever looks at one saw it before it ran: what they bring back is void.
        changed = replace(member, lease_token=member.lease_token + 1, status_reason=None)
        lifecycle.runs(tx, member, changed, bills_boot=bills_boot)


def dismiss(
    tx: Tx, by: Actor, member: Instance, rules: Rules, *, reason: str | None, is_free: bool = False
) -> None:
    """Ends one that was locked before, with its cluster; `is_free`: at no charge. Its volumes are kept.

    Without a `reason` it is its owner who ends it, and a long term that is not over yet is paid as if there had been
    none. Dismissing what has ended changes nothing.
    """
    if member.wanted is Wanted.DELETED:
        return
    if is_free:
        unpaid = replace(rules, minimum_on_cancel=False)
        service.end(tx, by, member, unpaid, reason=reason, keeps_volumes=True)
        billing.finish(tx, member.project, member.id, member.price, tx.now, with_minimum=False)
    elif reason is not None:
        service.end(tx, by, member, rules, reason=reason, keeps_volumes=True)
    else:
        member = terms.catch_up(tx, member)
        service.end(tx, by, member, rules, keeps_volumes=True)
        terms.end_early(tx, member)


def is_ready(member: Instance) -> bool:
    """Whether it could run as soon as all others can."""
    return member.ready_at is not None and member.status not in states.FAILED


def _claim(tx: Tx, posts: Mapping[str, Post]) -> None:
    # Offers in one order, so that two orders that want the same ones never wait for each other.
    for member_id, post in sorted(posts.items(), key=lambda each: (each[1].offer.id, each[0])):
        if not catalog.claim(tx, post.offer, member_id):
            raise NoCapacity(
                "no_capacity",
                f"{post.kind.name} has no capacity in {post.offer.location} now. Try another location or type.",
            )
