"""What becomes of a session whose offer came to nothing before it ever ran: another offer, or its failure."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from random import Random

from berth.base.db import Tx
from berth.core import catalog, instances
from berth.core.catalog import Alternative, Offer
from berth.core.errors import Invalid
from berth.core.instances import Instance
from berth.core.sessions import launching, opening, store
from berth.core.sessions.model import LaunchMode, RetryScope, Session, StoragePolicy

CEILINGS = {
    RetryScope.SAME_GPU: (12, 10),
    RetryScope.SAME_VRAM: (15, 10),
    RetryScope.ANY: (20, 10),
}
"""What another offer may cost, in parts of the first one's price."""
BEST = 5
TOP = 3
NEAR = (13, 10)
"""Chosen among are those of the top that cost at most so much of the cheapest."""
_LOOKED_AT = 200


def place_again(tx: Tx, leased: Instance, *, is_sold_out: bool, reason: str, dice: Random) -> Instance | None:
    """As `instances.fail_over`, for a session: to another offer if it asked for that, at the price of that one."""

    def place(tx: Tx, current: Instance) -> Instance | None:
        return _move(tx, current, dice)

    return instances.fail_over(tx, leased, is_sold_out=is_sold_out, reason=reason, place=place)


def choose(found: Sequence[Alternative], dice: Random) -> Sequence[Alternative]:
    """The best, cheapest first, but the first of them drawn from those that are nearly as cheap. Pure but for `dice`."""
    best = sorted(found, key=lambda each: (each.offer.price, each.offer.id))[:BEST]
    if not best:
        return ()
    most, parts = NEAR
    near = [each for each in best[:TOP] if each.offer.price * parts <= best[0].offer.price * most]
    first = near[dice.randrange(len(near))]
    return [first, *(each for each in best if each is not first)]


def _move(tx: Tx, current: Instance, dice: Random) -> Instance | None:
    row = store.find(tx, current.id, lock=True)
    if row is None:
        return None
    session = store.session_of(row, current)
    failed = catalog.known_offer(tx, current.offer_id)
    failed_offers = (*session.failed_offers, opening.external_id(failed))
    if not session.auto_retry or session.retry_count >= session.max_retries:
        store.note_failed(tx, session.id, failed_offers)
        return None
    host = None if failed.market is None else failed.market.physical_host
    failed_hosts = session.failed_hosts if host is None else (*session.failed_hosts, host)
    for alternative in choose(_alternatives(tx, session, failed_offers, failed_hosts), dice):
        offer, kind = alternative.offer, alternative.kind
        if not store.make_way(tx, current.project, session.consumer_id, opening.external_id(offer)):
            continue
        # It was granted a unit of its own type before those who wait for one now; for others it waits its turn.
        is_exchange = offer.instance_type == current.instance_type
        if not catalog.claim(tx, offer, current.id, in_turn=is_exchange):
            continue
        if not instances.can_afford(tx, current, offer.price):
            catalog.release(tx, current.id)
            continue
        launch = current.launch
        if launch is not None:
            launch = replace(launch, bid_micros_per_hour=offer.cost if offer.is_spot else None)
        image = opening.image_for(tx, kind, offer.provider)
        store.move(
            tx,
            session.id,
            provider=offer.provider,
            offer_id=opening.external_id(offer),
            retry_count=session.retry_count + 1,
            failed_offers=failed_offers,
            failed_hosts=failed_hosts,
        )
        return instances.rehouse(tx, current, offer, kind, image, launch)
    store.note_failed(tx, session.id, failed_offers)
    return None


def _alternatives(
    tx: Tx, session: Session, failed_offers: Collection[str], failed_hosts: Collection[str]
) -> Sequence[Alternative]:
    specs = session.instance.specs
    most, parts = CEILINGS[session.retry_scope]
    scope = session.retry_scope
    found = catalog.alternatives(
        tx,
        gpu_model=specs.gpu_model if scope is RetryScope.SAME_GPU else None,
        least_gpu_count=specs.gpu_count,
        least_vram_gb=specs.gpu_vram_gb,
        is_exact=scope is not RetryScope.ANY,
        max_price=session.first_price * most // parts,
        limit=_LOOKED_AT,
    )
    rented = [replace(each, offer=instances.as_rented(each.offer)) for each in found]
    return [
        each
        for each in rented
        if opening.external_id(each.offer) not in failed_offers
        and not _is_at(each.offer, failed_hosts)
        and launching.lasts(each.offer, session.expires_at - tx.now)
        and _can_be_at(tx, session, each)
    ]


def _is_at(offer: Offer, hosts: Collection[str]) -> bool:
    return offer.market is not None and offer.market.physical_host in hosts


def _can_be_at(tx: Tx, session: Session, alternative: Alternative) -> bool:
    """Whether the offer's provider can do what was asked for, and its consumer has nothing there yet."""
    offer, launch = alternative.offer, session.instance.launch
    able = catalog.abilities(tx, offer.provider)
    if (launch is None and offer.is_spot) or (launch is not None and not able.containers):
        return False
    if session.launch_mode is LaunchMode.ENTRYPOINT and not able.containers:
        return False
    if session.template_hash_id is not None and offer.provider != session.instance.provider:
        return False  # the hash names a template of that provider
    if session.instance.startup_script is not None and not able.startup_script:
        return False
    if session.storage_policy is StoragePolicy.PRESERVE and not launching.keeps_storage(able):
        return False
    by = session.instance.project
    if store.find_twin(tx, by, session.consumer_id, opening.external_id(offer)) is not None:
        return False
    try:
        opening.image_for(tx, alternative.kind, offer.provider)
    except Invalid:
        return False
    return True
