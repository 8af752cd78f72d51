"""What each route does: translate, one verb, translate. Runs inside the transaction that the edge opened."""

from collections.abc import Sequence

from berth.base import paging
from berth.base.db import Tx
from berth.base.paging import After
from berth.core import billing, catalog, events, instances, keys, projects
from berth.core.billing import Bill
from berth.core.catalog import OfferView, Search
from berth.core.errors import Invalid, NotFound
from berth.core.instances import Action, Instance, Status
from berth.faces.face import Call
from berth.faces.huddle import catalogue, translate, wire
from berth.faces.huddle.envelope import Paged
from berth.faces.huddle.translate import API_KEY, DEPLOYMENT, IMAGE, SSH_KEY

_EVERYTHING = Search(available_only=False)


# Money


def get_balance(tx: Tx, call: Call) -> wire.Balance:
    return translate.balance(billing.balance(tx, call.by.project, call.context.rules))


def get_deployment_bill(tx: Tx, call: Call) -> wire.DeploymentBill:
    # The scope of this route is about money: who may see bills need not be allowed to see deployments.
    reader = events.system(call.by.project, call.by.key_id)
    made = instances.get(tx, reader, _deployment_id(call))
    rows = billing.charges(tx, call.by, made.id, limit=translate.CHARGES_SHOWN + 1)
    return translate.deployment_bill(made, billing.bill(tx, made.id), rows)


# Catalogue


def list_offers(tx: Tx, call: Call) -> Paged:
    query: wire.OffersQuery = call.query
    _check_location(tx, query.location)
    views = catalog.search(tx, call.by, catalogue.search(query))
    listing = f"offers {query.sort_by} {query.sort_order}"
    start = (query.page - 1) * query.limit
    if query.cursor is not None:
        start = _start(views, translate.after(query.cursor, listing))
    page = views[start : start + query.limit]
    has_more = start + query.limit < len(views)
    last = After(start + len(page), page[-1].type.name) if has_more else None
    return Paged(
        [catalogue.offer(view) for view in page],
        total=len(views),
        cursor=None if last is None else paging.encode(last, listing),
        has_more=has_more,
        limit=query.limit,
        number=query.page,
    )


def _start(views: Sequence[OfferView], last: After | None) -> int:
    """Behind the last offer seen; where that is gone, as many offers in as were seen."""
    assert last is not None
    names = [view.type.name for view in views]
    return names.index(last.id) + 1 if last.id in names else min(max(last.time, 0), len(views))


def summarize_offers(tx: Tx, call: Call) -> wire.Summary:
    return catalogue.summary(catalog.search(tx, call.by, _EVERYTHING))


def get_offer(tx: Tx, call: Call) -> wire.Offer:
    name = translate.name_in_path(call.parameters["instance_type"], "Instance type")
    return catalogue.offer(catalog.get_offer(tx, call.by, name.removeprefix(translate.OFFER)))


def get_availability(tx: Tx, call: Call) -> wire.Availability:
    query: wire.AvailabilityQuery = call.query
    name = translate.name_in_path(call.parameters["cluster_type"], "Cluster type")
    _check_location(tx, query.location)
    return catalogue.availability(catalog.get_offer(tx, call.by, name, location=query.location))


def list_regions(tx: Tx, call: Call) -> list[wire.Region]:
    query: wire.RegionsQuery = call.query
    if query.cluster_type is not None:
        catalog.get_type(tx, call.by, query.cluster_type)
    regions = catalogue.regions(
        catalog.locations(tx, call.by),
        catalog.search(tx, call.by, _EVERYTHING),
        gpu_model=query.gpu_model,
        cluster_type=query.cluster_type,
    )
    return [region for region in regions if region.is_active or not query.active_only]


def get_region(tx: Tx, call: Call) -> wire.Region:
    code = translate.name_in_path(call.parameters["code"], "Region")
    regions = catalogue.regions(catalog.locations(tx, call.by), catalog.search(tx, call.by, _EVERYTHING))
    found = next((region for region in regions if region.code == code), None)
    if found is None:
        raise NotFound("region_not_found", "Region not found.")
    return found


def list_images(tx: Tx, call: Call) -> Paged:
    query: wire.ImagesQuery = call.query
    listing = f"images {query.cluster_type} {query.image_type} {query.category} {query.include_deprecated}"
    last = translate.after(query.cursor, listing)
    matching = [
        image
        for image in catalog.images(tx, call.by, instance_type=query.cluster_type)
        if query.image_type in {None, image.slug}
        and query.category in {None, image.category}
        and (query.include_deprecated or image.deprecated_at is None)
    ]
    rest = [
        image for image in matching if last is None or (image.created_at, image.id) < (last.time, last.id)
    ]
    page = rest[: query.limit]
    has_more = len(rest) > query.limit
    return Paged(
        [catalogue.image(image) for image in page],
        total=len(matching),
        cursor=paging.encode(After(page[-1].created_at, page[-1].id), listing) if has_more else None,
        has_more=has_more,
        limit=query.limit,
    )


def get_image(tx: Tx, call: Call) -> wire.Image:
    name = translate.name_in_path(call.parameters["id"], "Image")
    return catalogue.image(catalog.get_image(tx, call.by, name.removeprefix(IMAGE)))


def _check_location(tx: Tx, location: str | None) -> None:
    if location is not None and catalog.find_location(tx, location) is None:
        raise Invalid("invalid_field", f"location: unknown location {location!r}.", field="location")


# SSH keys


def list_ssh_keys(tx: Tx, call: Call) -> list[wire.SshKey]:
    return [translate.ssh_key(key) for key in keys.list_keys(tx, call.by)]


def add_ssh_key(tx: Tx, call: Call) -> wire.SshKey:
    request: wire.SshKeyRequest = call.body
    return translate.ssh_key(keys.add(tx, call.by, name=request.name, public_key=request.public_key))


def get_ssh_key(tx: Tx, call: Call) -> wire.SshKey:
    return translate.ssh_key(keys.get(tx, call.by, _ssh_key_id(call)), is_whole=True)


def remove_ssh_key(tx: Tx, call: Call) -> wire.SshKey:
    return translate.ssh_key(keys.remove(tx, call.by, _ssh_key_id(call)))


def _ssh_key_id(call: Call) -> str:
    return translate.core_id(SSH_KEY, call.parameters["id"], "SSH key")


# API keys


def list_api_keys(tx: Tx, call: Call) -> list[wire.ApiKey]:
    return [translate.api_key(key) for key in projects.list_keys(tx, call.by)]


def create_api_key(tx: Tx, call: Call) -> wire.CreatedApiKey:
    request: wire.ApiKeyRequest = call.body
    key, secret = projects.create_key(
        tx,
        call.by,
        name=request.name,
        scopes=request.scopes,
        expires_at=translate.key_expiry(request, tx.now),
        description=request.description,
        pepper=call.context.pepper,
    )
    return translate.created_api_key(key, secret)


def get_api_key(tx: Tx, call: Call) -> wire.ApiKey:
    return translate.api_key(projects.get_key(tx, call.by, _api_key_id(call)))


def revoke_api_key(tx: Tx, call: Call) -> wire.ApiKey:
    query: wire.RevokeQuery = call.query
    key = projects.revoke_key(tx, call.by, _api_key_id(call), force=query.force)
    tx.after_commit(lambda: call.context.known_keys.forget(key.id))
    return translate.api_key(key)


def _api_key_id(call: Call) -> str:
    return translate.core_id(API_KEY, call.parameters["id"], "API key")


# Deployments


def deploy(tx: Tx, call: Call) -> wire.Deployment:
    request: wire.DeployRequest = call.body
    return translate.deployment(instances.order(tx, call.by, translate.order(request), call.context.rules))


def list_deployments(tx: Tx, call: Call) -> Paged:
    query: wire.DeploymentsQuery = call.query
    status = None if query.status is None else Status(query.status)
    listing = f"deployments {query.status}"
    last = translate.after(query.cursor, listing)
    page = instances.list_versions(tx, call.by, status=status, after=last, limit=query.limit)
    shown = [translate.known_deployment(version) for version in page.rows]
    if None in shown:
        whole = instances.list_page(tx, call.by, status=status, after=last, limit=query.limit).rows
        shown = [
            known or translate.listed_deployment(version, made)
            for known, version, made in zip(shown, page.rows, whole, strict=True)
        ]
    return Paged(
        shown,
        total=page.total,
        cursor=paging.encode(After(page.rows[-1].created_at, page.rows[-1].id), listing)
        if page.has_more
        else None,
        has_more=page.has_more,
        limit=query.limit,
    )


def get_deployment(tx: Tx, call: Call) -> wire.Deployment:
    return _whole(tx, instances.get(tx, call.by, _deployment_id(call)))


def act_on_deployment(tx: Tx, call: Call) -> wire.Deployment:
    request: wire.ActionRequest = call.body
    action = Action.RESTART if request.action == "reboot" else Action(request.action)
    return _whole(tx, instances.act(tx, call.by, _deployment_id(call), action, call.context.rules))


def delete_deployment(tx: Tx, call: Call) -> wire.Deployment:
    return _whole(tx, instances.delete(tx, call.by, _deployment_id(call), call.context.rules))


def list_deployment_events(tx: Tx, call: Call) -> list[wire.Event]:
    query: wire.EventsQuery = call.query
    made = instances.get(tx, call.by, _deployment_id(call))
    found = events.list_for(tx, call.by, made.id, after_sequence=query.after, limit=query.limit)
    return [translate.event(happened) for happened in found]


def _whole(tx: Tx, made: Instance) -> wire.Deployment:
    bill: Bill = billing.bill(tx, made.id)
    return translate.deployment(made, bill)


def _deployment_id(call: Call) -> str:
    return translate.core_id(DEPLOYMENT, call.parameters["id"], "Deployment")
