"""Templates of providers: taken in as a whole, found again, and measured against hosts."""

from dataclasses import replace

import pytest

from berth.base.clock import Instant
from berth.base.db import Database
from berth.base.money import Micros
from berth.core import catalog
from berth.core.catalog import Template, TemplateSearch
from berth.core.catalog.inventory import Listed, Wanted
from berth.core.driver import ProviderTemplate
from berth.core.errors import Forbidden, NotFound
from berth.core.events import Actor
from tests import make

READER = Actor("p", "k", "k", frozenset({"catalog:read"}))
OFFER = Listed(
    id="vastai-1",
    offer_id="o",
    provider="vastai",
    provider_offer_id="1",
    instance_type="2RTX4090.24V",
    place="US",
    location="California, US",
    gpu_type="RTX 4090",
    gpu_count=2,
    vram_gb=24,
    vcpu_count=8,
    ram_gb=64,
    storage_gb=100,
    price=Micros(450_000),
    cost=Micros(400_000),
    free_units=1,
    is_listed=True,
    is_available=True,
    confidence=0.9,
    fetched_at=Instant(0),
    cuda_version=12.8,
    is_market=True,
    host={"cpu_arch": "amd64"},
)


def kept(db: Database, *templates: ProviderTemplate, provider: str = "vastai") -> int:
    return db.write_now(catalog.refresh_templates, provider, templates)


def names(db: Database, search: TemplateSearch | None = None) -> list[str]:
    return [each.made.name for each in db.read_now(catalog.list_templates, READER, search)]


def test_a_refresh_replaces_what_its_provider_kept_and_leaves_others_alone(db: Database) -> None:
    kept(db, make.template("a", name="one"), make.template("b", name="two"))
    kept(db, make.template("a", name="elsewhere"), provider="other")
    assert kept(db, make.template("c", name="three"), make.template("a", name="one again")) == 2
    assert names(db) == ["elsewhere", "three", "one again"]
    assert db.read_now(catalog.get_template, READER, "c") == Template(
        "vastai", make.template("c", name="three")
    )
    assert kept(db) == 0
    assert names(db) == ["elsewhere"]


def test_what_nobody_could_name_or_store_is_left_out(db: Database) -> None:
    bad = [
        make.template(""),
        make.template("x", name=""),
        make.template("a b"),
        make.template("y" * 129),
        make.template("n", name="a\0b"),
        make.template("s", onstart="\ud800"),
        make.template("l", onstart="x" * 70_000),
        make.template("i", id=2**63),
        make.template("d", recommended_disk_gb=-1),
    ]
    assert kept(db, *bad, make.template("good"), make.template("good", name="twice")) == 1
    assert names(db) == ["twice"]


def test_they_are_found_by_parts_of_their_names_in_whatever_capitals(db: Database) -> None:
    kept(
        db,
        make.template("a", name="vLLM Server", image="vllm/vllm-openai", use_ssh=False),
        make.template("b", name="Ollama", image="vastai/OLLAMA", recommended=False),
        make.template("c", name="Straße", image="x"),
    )
    assert names(db, TemplateSearch(name="VLLM")) == ["vLLM Server"]
    assert names(db, TemplateSearch(image="ollama")) == ["Ollama"]
    assert names(db, TemplateSearch(name="STRASSE")) == ["Straße"]
    assert names(db, TemplateSearch(use_ssh=False)) == ["vLLM Server"]
    assert names(db, TemplateSearch(recommended=False)) == ["Ollama"]
    assert names(db, TemplateSearch(name="%")) == []
    assert names(db, TemplateSearch(name="")) == ["vLLM Server", "Ollama", "Straße"]


def test_an_unknown_one_and_what_can_be_none_are_not_found(db: Database) -> None:
    kept(db, make.template("a"))
    for hash_id in ("b", "A", "a\0", "' OR 1=1", "", "é", "a" * 500):
        with pytest.raises(NotFound, match="Template not found"):
            db.read_now(catalog.get_template, READER, hash_id)


def test_reading_takes_the_scope(db: Database) -> None:
    nobody = Actor("p", "k", "k", frozenset())
    for read in (
        lambda: db.read_now(catalog.list_templates, nobody),
        lambda: db.read_now(catalog.get_template, nobody, "a"),
        lambda: db.read_now(catalog.templates_for, nobody, OFFER),
    ):
        with pytest.raises(Forbidden):
            read()


@pytest.mark.parametrize(
    ("extra_filters", "fits"),
    [
        ("", True),
        ("{", False),
        ('{"cpu_arch": {"eq": "amd64"}}', True),
        ('{"gpu_total_ram": {"gte": 48000}}', True),
        ('{"gpu_total_ram": {"gt": 49152}}', False),
        ('{"gpu_ram": {"gte": 24000}}', True),
        ('{"num_gpus": {"eq": "2"}}', True),
        ('{"gpu_name": {"in": ["RTX 4090", "H100"]}}', True),
        ('{"cuda_max_good": {"gte": 12.9}}', False),
    ],
)
def test_templates_of_an_offer_are_those_that_its_host_runs(
    db: Database, extra_filters: str, fits: bool
) -> None:
    kept(db, make.template("a", extra_filters=extra_filters))
    found = db.read_now(catalog.templates_for, READER, OFFER)
    assert [each.made.hash_id for each in found] == (["a"] if fits else [])
    assert not db.read_now(catalog.templates_for, READER, replace(OFFER, provider="other"))
    narrowed = catalog.narrowed(Wanted(), Template("vastai", make.template("a", extra_filters=extra_filters)))
    assert narrowed.fits is not None
    assert narrowed.fits(OFFER) is fits
    assert not narrowed.fits(replace(OFFER, provider="other"))


def test_a_narrowed_search_keeps_what_was_asked_for() -> None:
    template = Template("vastai", make.template(extra_filters='{"cuda_max_good": {"gt": 12.4}}'))
    assert catalog.narrowed(Wanted(), template).min_cuda == 12.5
    assert catalog.narrowed(Wanted(min_cuda=12.0), template).min_cuda == 12.5
    assert catalog.narrowed(Wanted(min_cuda=13.0), template).min_cuda == 13.0
    assert catalog.narrowed(Wanted(), template).provider == "vastai"
    assert catalog.narrowed(Wanted(provider="tensordock"), template).provider == "tensordock"
    assert catalog.narrowed(Wanted(), template).fits is catalog.narrowed(Wanted(limit=1), template).fits
