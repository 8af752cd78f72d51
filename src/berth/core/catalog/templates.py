"""The templates that providers keep: what they say of them, found again by name, image and host."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from berth.base.clock import Instant
from berth.base.db import Tx
from berth.core.catalog import filters, store
from berth.core.catalog.inventory import Listed, Wanted
from berth.core.catalog.model import Template
from berth.core.driver import ProviderTemplate
from berth.core.errors import NotFound
from berth.core.events import Actor

MOST_TEMPLATES = 5000
"""Of one provider."""
_HASH_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_LONGEST = 64 * 1024
_MOST = 2**63
_MEGABYTES = 1024


@dataclass(frozen=True, slots=True)
class TemplateSearch:
    """Absent members do not filter; text is a part of it, in whatever capitals."""

    name: str | None = None
    image: str | None = None
    recommended: bool | None = None
    use_ssh: bool | None = None


def refresh_templates(tx: Tx, provider: str, templates: Sequence[ProviderTemplate]) -> int:
    """Replaces those that `provider` keeps; what nobody could name or store is left out. Returns how many."""
    sane = {each.hash_id: each for each in templates if _is_sane(each)}
    kept = list(sane.values())[:MOST_TEMPLATES]
    store.replace_templates(tx, provider, kept)
    return len(kept)


def templates_refreshed_at(tx: Tx, provider: str) -> Instant | None:
    """When they were taken in last; None: never."""
    return store.templates_refreshed_at(tx, provider)


def list_templates(tx: Tx, by: Actor, search: TemplateSearch | None = None) -> Sequence[Template]:
    """In the order in which their providers list them."""
    by.may("catalog:read")
    wanted = search or TemplateSearch()
    return [each for each in store.list_templates(tx, provider=None) if _matches(each.made, wanted)]


def get_template(tx: Tx, by: Actor, hash_id: str) -> Template:
    """Raises NotFound."""
    by.may("catalog:read")
    found = store.find_template(tx, hash_id) if _HASH_ID.fullmatch(hash_id) else None
    if found is None:
        raise NotFound("template_not_found", "Template not found.")
    return found


def templates_for(tx: Tx, by: Actor, offer: Listed) -> Sequence[Template]:
    """Those that can be started on the offer's host."""
    by.may("catalog:read")
    host = host_of(offer)
    return [
        each
        for each in store.list_templates(tx, provider=offer.provider)
        if filters.fitting(each.made.extra_filters)(host)
    ]


def narrowed(wanted: Wanted, template: Template) -> Wanted:
    """As `wanted`, and only offers of the template's provider on whose host it can be started.

    What a template says of CUDA also rules out those of which no figure is known. The same object each time stands
    for the same filters, so that an inventory has to ask it once.
    """
    text = template.made.extra_filters
    clauses = filters.parse(text)
    least = None if clauses is None else filters.least_cuda(clauses)
    cuda = max((each for each in (wanted.min_cuda, least) if each is not None), default=None)
    provider = wanted.provider or template.provider
    return replace(wanted, provider=provider, min_cuda=cuda, fits=_fitting(template.provider, text))


@lru_cache(1024)
def _fitting(provider: str, extra_filters: str) -> Callable[[Listed], bool]:
    fits = filters.fitting(extra_filters)
    return lambda offer: offer.provider == provider and fits(host_of(offer))


def host_of(offer: Listed) -> Mapping[str, filters.Value]:
    """What filters compare: what the marketplace says of the host, and what the offer itself says where that is silent."""
    known: dict[str, filters.Value] = {
        "num_gpus": str(offer.gpu_count),
        "gpu_name": offer.gpu_type,
        "gpu_ram": offer.vram_gb * _MEGABYTES,
        "gpu_total_ram": offer.vram_gb * offer.gpu_count * _MEGABYTES,
        "reliability2": offer.reliability,
    }
    if offer.cuda_version is not None:
        known["cuda_max_good"] = offer.cuda_version
    return known | dict(offer.host)


def _matches(template: ProviderTemplate, wanted: TemplateSearch) -> bool:
    return (
        (wanted.name is None or wanted.name.casefold() in template.name.casefold())
        and (wanted.image is None or wanted.image.casefold() in template.image.casefold())
        and (wanted.recommended is None or template.recommended == wanted.recommended)
        and (wanted.use_ssh is None or template.use_ssh == wanted.use_ssh)
    )


def _is_sane(template: ProviderTemplate) -> bool:
    texts = (
        template.hash_id,
        template.name,
        template.image,
        template.tag,
        template.env,
        template.onstart,
        template.runtype,
        template.args_str,
        template.extra_filters,
    )
    numbers = (
        template.id,
        template.recommended_disk_gb,
        template.creator_id,
        template.created_at,
        template.count_created,
    )
    return (
        bool(_HASH_ID.fullmatch(template.hash_id) and template.name)
        and all(len(text) <= _LONGEST and "\0" not in text and _is_unicode(text) for text in texts)
        and all(0 <= number < _MOST for number in numbers)
    )


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
