"""Builders of what a provider sells; `tests.make` has them all."""

from collections.abc import Sequence
from typing import Any

from berth.base.clock import parse_rfc3339
from berth.base.money import from_usd
from berth.core.driver import (
    Hardware,
    Market,
    Place,
    ProviderImage,
    ProviderOffer,
    ProviderTemplate,
    ProviderVolumeType,
)

H100 = "1H100.80S.30V"
PLACES = {
    "FIN-01": Place("FIN-01", "Finland 1", "FI"),
    "FIN-02": Place("FIN-02", "Finland 2", "FI"),
    "FIN-03": Place("FIN-03", "Finland 3", "FI"),
    "ICE-01": Place("ICE-01", "Iceland 1", "IS"),
}
BOOT_TIMEOUT_S = 600


def offer(
    instance_type: str = H100,
    *,
    location: str = "FIN-01",
    price: str = "1.71",
    cost: str = "1",
    free: int = 8,
    name: str | None = None,
    gpu_model: str | None = "H100",
    gpu_count: int = 1,
    gpu_vram_gb: int = 80,
    spot_price: str | None = None,
    is_simulated: bool = False,
    market: Market | None = None,
) -> ProviderOffer:
    """What a provider would sell, for `catalogue`. Its name at the provider is `<type>@<location>`."""
    hardware = Hardware(
        name=instance_type,
        gpu_model=gpu_model,
        gpu_count=gpu_count,
        gpu_vram_gb=gpu_vram_gb,
        vcpu_count=30,
        ram_gb=120,
        storage_gb=200,
        description=instance_type,
        manufacturer="NVIDIA",
        boot_timeout_s=BOOT_TIMEOUT_S,
    )
    return ProviderOffer(
        provider_offer_id=name or f"{instance_type}@{location}",
        hardware=hardware,
        place=PLACES.get(location, Place(location, location, "FI")),
        cost_micros_per_hour=from_usd(cost),
        price_micros_per_hour=from_usd(price),
        free_units=free,
        is_simulated=is_simulated,
        market=market,
        spot_price_micros_per_hour=None if spot_price is None else from_usd(spot_price),
    )


def template(hash_id: str = "a8a44c7363cbca20056020397e3bf072", **members: Any) -> ProviderTemplate:
    """The one of the reference, with other members where they are given."""
    known: dict[str, Any] = {
        "id": 338630,
        "name": "Ollama",
        "image": "vastai/ollama",
        "tag": "0.15.4",
        "env": "-p 1111:1111 -p 21434:21434 -e OLLAMA_MODEL=qwen3:14b",
        "onstart": "entrypoint.sh",
        "runtype": "jupyter",
        "use_ssh": True,
        "ssh_direct": True,
        "recommended": True,
        "recommended_disk_gb": 32,
        "extra_filters": '{"cpu_arch": {"in": ["arm64", "amd64"]}}',
        "creator_id": 62897,
        "created_at": int(parse_rfc3339("2026-02-02T18:27:28Z")),
        "count_created": 302,
    }
    return ProviderTemplate(hash_id, **(known | members))


def image(
    slug: str = "ubuntu-24.04",
    *,
    gpu_models: Sequence[str] | None = None,
    min_os_volume_gb: int = 10,
    **members: Any,
) -> ProviderImage:
    """An image that boots everywhere, or only on `gpu_models`."""
    return ProviderImage(
        slug=slug,
        name=slug,
        category="ubuntu",
        os_name="Ubuntu 24.04",
        ssh_user="root",
        gpu_models=gpu_models,
        min_os_volume_gb=min_os_volume_gb,
        **members,
    )


def volume_type(
    name: str = "NVMe",
    *,
    location: str = "FIN-01",
    price: str = "0.2",
    cost: str = "0.1",
    live: bool = True,
    max_attachments: int = 1,
    most: int = 10_240,
) -> ProviderVolumeType:
    """Storage that a provider would sell; shared when more than one can have it."""
    return ProviderVolumeType(
        name=name,
        place=PLACES.get(location, Place(location, location, "FI")),
        cost_micros_per_gb_month=from_usd(cost),
        price_micros_per_gb_month=from_usd(price),
        max_size_gb=most,
        is_shared=max_attachments > 1,
        max_attachments=max_attachments,
        attaches_live=live,
        iops="100k",
        burst_bandwidth_mb_s=2500,
        continuous_bandwidth_mb_s=2000,
        internal_network_speed_mb_s=50,
        throughput_gbps=4,
    )
