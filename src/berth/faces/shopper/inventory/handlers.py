"""The inventory: translate, look at what lies on the shelf, translate."""

from berth.base.db import Tx
from berth.core import catalog
from berth.core.catalog.inventory import Inventory, Listed, Wanted
from berth.core.errors import Invalid, NotFound, UpstreamUnavailable
from berth.faces.face import Call
from berth.faces.shopper import words
from berth.faces.shopper.inventory import translate, wire


def list_offers(tx: Tx, call: Call) -> wire.Offers:
    query: wire.OffersQuery = call.query
    inventory = call.context.shelf.inventory
    wanted = translate.wanted(query)
    words.check_provider(wanted.provider, call.context.providers)
    if query.template_hash_id:
        wanted = _that_run(tx, call, wanted, query.template_hash_id)
    found = inventory.search(wanted)
    if not found.total:
        _check_sellers(inventory, wanted.provider)
    offers = [translate.offer(listed) for listed in found.offers]
    return wire.Offers(offers=offers, count=len(offers), total=found.total or 0)


def get_offer(tx: Tx, call: Call) -> wire.Offer:
    listed = _listed(call)
    shown = translate.offer(listed)
    templates = catalog.templates_for(tx, call.by, listed) if listed.is_market else []
    if templates:
        shown.compatible_templates = [translate.compatible_template(each) for each in templates]
    return shown


def list_compatible_templates(tx: Tx, call: Call) -> wire.CompatibleTemplates:
    listed = _listed(call)
    if not _keeps_templates(call, listed.provider):
        return wire.CompatibleTemplates(
            offer_id=listed.id,
            compatible_templates=[],
            count=0,
            provider=listed.provider,
            note=f"{listed.provider} keeps no templates.",
        )
    templates = [translate.compatible_template(each) for each in catalog.templates_for(tx, call.by, listed)]
    return wire.CompatibleTemplates(
        offer_id=listed.id,
        compatible_templates=templates,
        count=len(templates),
        gpu_type=listed.gpu_type,
        vram_gb=listed.vram_gb,
    )


def _listed(call: Call) -> Listed:
    call.by.may("catalog:read")
    listed = call.context.shelf.inventory.find(call.parameters["id"])
    if listed is None:
        raise NotFound("offer_not_found", f"offer not found: {words.reflected(call.parameters['id'])}")
    return listed


def _check_sellers(inventory: Inventory, provider: str | None) -> None:
    """Nothing found is an answer only while somebody could be asked, or what was said last still stands."""
    asked = [seller for name, seller in inventory.sellers.items() if provider in {None, name}]
    if not asked or any(seller.failure is None for seller in asked):
        return
    if not inventory.search(Wanted(provider=provider, limit=1)).offers:
        names = ", ".join(sorted(seller.provider for seller in asked))
        raise UpstreamUnavailable(
            "upstream_unavailable", f"No provider could be asked what it offers: {names}."
        )


def _that_run(tx: Tx, call: Call, wanted: Wanted, hash_id: str) -> Wanted:
    """What is wanted, as far as it can run the template."""
    keepers = [name for name in call.context.providers if _keeps_templates(call, name)]
    if not keepers:
        raise Invalid(
            "invalid_field",
            "template_hash_id must be left out: no provider that keeps templates is set up",
            field="template_hash_id",
            sent=hash_id,
        )
    template = catalog.get_template(tx, call.by, hash_id)
    return catalog.narrowed(wanted, template)


def _keeps_templates(call: Call, provider: str) -> bool:
    abilities = call.context.providers.get(provider)
    return abilities is not None and abilities.templates
