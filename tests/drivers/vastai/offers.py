"""A market of made-up machines, the same for one seed: what the real service's rows have, prices of many digits included."""

import random
from typing import Any

Row = dict[str, Any]

HOURS_PER_MONTH = 720
MODELS = (
    ("RTX 3090", 24576, 860, 0.13),
    ("RTX 4090", 24564, 890, 0.29),
    ("RTX 5090", 32607, 1200, 0.41),
    ("RTX A6000", 49140, 860, 0.38),
    ("Tesla V100", 16160, 700, 0.11),
    ("L40S", 46068, 890, 0.62),
    ("A100 PCIE", 40960, 800, 0.71),
    ("A100 SXM4", 81920, 800, 0.89),
    ("H100 SXM", 81559, 900, 1.93),
    ("H200", 143771, 900, 2.61),
)
PLACES = (
    "Texas, US",
    "California, US",
    "Sweden, SE",
    "Quebec, CA",
    "Tokyo, JP",
    "Bulgaria, BG",
    "Germany, DE",
    "",
)
FIRST_ID = 20_000_000
STORAGE_PER_GB_MONTH = 0.15


def market(count: int, *, seed: int = 1) -> dict[int, Row]:
    """Offers by their ids: numbers of contracts, other than those of the machines."""
    chance = random.Random(seed)
    return {FIRST_ID + 7 * number: _offer(FIRST_ID + 7 * number, number, chance) for number in range(count)}


def _offer(handle: int, number: int, chance: random.Random) -> Row:
    name, ram, capability, price = MODELS[number % len(MODELS)]
    gpus = chance.choice((1, 1, 1, 2, 4, 8))
    cores = chance.choice((16, 32, 64, 128))
    # Of each type the first is an ordinary machine, whatever chance makes of the others.
    part = 1.0 if number < len(MODELS) else min(1.0, gpus / 8)
    total_price = price * gpus * (1 + chance.random()) if number >= len(MODELS) else price
    gpus = gpus if number >= len(MODELS) else 1
    return {
        "id": handle,
        "ask_contract_id": handle,
        "bundle_id": 500_000 + number,
        "machine_id": 10_000 + number // 2,
        "host_id": 300 + number // 5,
        "num_gpus": gpus,
        "gpu_name": name,
        "gpu_ram": ram,
        "gpu_total_ram": ram * gpus,
        "gpu_frac": part,
        "gpu_arch": "nvidia",
        "gpu_lanes": 16,
        "gpu_mem_bw": 889.3,
        "gpu_max_power": 450.0,
        "gpu_max_temp": 89.0,
        "compute_cap": capability,
        "cuda_max_good": chance.choice((12.4, 12.6, 12.8, 13.0)),
        "bw_nvlink": 0.0,
        "cpu_name": "AMD EPYC 7742 64-Core Processor",
        "cpu_cores": cores,
        "cpu_cores_effective": cores * part,
        "cpu_ghz": 3.4,
        "cpu_ram": chance.choice((128_706, 257_500, 515_870)),
        "cpu_arch": "amd64",
        "disk_space": round(100 + 900 * chance.random(), 6),
        "disk_bw": 3120.0,
        "disk_name": "Samsung SSD 990",
        "inet_up": 812.4,
        "inet_down": 905.1,
        "inet_up_cost": 0.004,
        "inet_down_cost": 0.002,
        "direct_port_count": 99,
        "pci_gen": 4.0,
        "pcie_bw": 24.9,
        "mobo_name": "ROMED8-2T",
        "os_version": "22.04",
        "driver_version": "570.86.15",
        "driver_vers": 570_086_015,
        "has_avx": 1,
        "dph_base": total_price,
        "min_bid": round(total_price * 0.4, 7),
        "dlperf": 98.13,
        "dlperf_per_dphtotal": 281.2,
        "flops_per_dphtotal": 229.9,
        "total_flops": 81.4 * gpus,
        "score": round(100 * chance.random(), 4),
        "vram_costperhour": 1.2e-05,
        "storage_cost": STORAGE_PER_GB_MONTH,
        "credit_discount_max": 0.1,
        "rentable": True,
        "rented": False,
        "is_bid": False,
        "external": False,
        "hosting_type": 0,
        "hostname": None,
        "public_ipaddr": "127.0.0.1\n",
        "geolocation": PLACES[number % len(PLACES)] or None,
        "geolocode": 123_456,
        "reliability": 0.99,
        "reliability2": 0.999 if number < len(MODELS) else round(0.9 + 0.1 * chance.random(), 7),
        "reliability_mult": 0.97,
        "expected_reliability": 0.991,
        "verification": "verified" if number < len(MODELS) or chance.random() < 0.9 else "unverified",
        "vericode": 1,
        "static_ip": number % 3 == 0,
        "vms_enabled": False,
        "gpu_display_active": False,
        "resource_type": "gpu",
        "start_date": 1_760_000_000.25,
        "end_date": 1_860_000_000.0,
        "duration": round(86_400 * 30 * (0.1 + chance.random()), 4),
        "bundled_results": None,
        "cluster_id": None,
        "avail_vol_ask_id": None,
        "avail_vol_dph": None,
        "avail_vol_size": None,
        "nw_disk_min_bw": None,
        "nw_disk_avg_bw": None,
        "nw_disk_max_bw": None,
        "platform_fee": 0.0,
        "webpage": None,
        "something_new": {"nobody": ["knows", "this"]},
    }


def priced(row: Row, storage_gb: float, *, is_bid: bool) -> Row:
    """As a search shows it, with so much disk in its price."""
    storage = storage_of(row, storage_gb)
    base = row["min_bid"] if is_bid else row["dph_base"]
    total = base + storage
    return {
        **row,
        "is_bid": is_bid,
        "dph_base": base,
        "dph_total": total,
        "storage_total_cost": storage,
        "verified": row["verification"] == "verified",
        "search": {
            "gpuCostPerHour": base,
            "diskHour": storage,
            "totalHour": total,
            "discountTotalHour": 0,
            "discountedTotalPerHour": total,
        },
        "instance": {"gpuCostPerHour": base, "diskHour": storage, "totalHour": total},
    }


def storage_of(row: Row, storage_gb: float) -> float:
    """Dollars per hour."""
    return float(row["storage_cost"]) * storage_gb / HOURS_PER_MONTH


TEMPLATES: list[Row] = [
    {
        "id": 100 + number,
        "hash_id": f"{number:x}" * 32,
        "name": name,
        "image": image,
        "tag": "latest",
        "env": "-p 8000:8000 -e MODEL=x",
        "onstart": onstart,
        "runtype": "ssh",
        "args_str": "",
        "use_ssh": True,
        "ssh_direct": True,
        "jup_direct": False,
        "use_jupyter_lab": False,
        "recommended": recommended,
        "recommended_disk_space": 32.5,
        "extra_filters": '{"cuda_max_good": {"gte": 12.6}, "num_gpus": {"eq": "1"}}',
        "creator_id": 62_897,
        "created_at": 1_730_000_000,
        "count_created": 4711,
        "recent_create_date": 1_760_000_000,
        "private": False,
        "readme_visible": True,
        "docker_login_repo": "docker.io",
        "default_tag": "latest",
    }
    for number, name, image, onstart, recommended in (
        (1, "vLLM", "vllm/vllm-openai", "entrypoint.sh &", True),
        (2, "Ollama", "vastai/ollama", "", True),
        (3, "Somebody's own", "somebody/thing", "x" * 4000, False),
    )
]
