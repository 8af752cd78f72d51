"""What the stand-in for TensorDock sells: two locations, and hosts that only some accounts may see."""

from typing import Any

DALLAS = "a8e2f6b0-1c3d-4e5f-8a9b-0c1d2e3f4a5b"
OSLO = "b9f3a7c1-2d4e-4f60-9bac-1d2e3f4a5b6c"
RTX4090 = "geforcertx4090-pcie-24gb"
H100 = "h100-sxm5-80gb"
_PRICING = {"per_vcpu_hr": 0.003, "per_gb_ram_hr": 0.002, "per_gb_storage_hr": 0.00005}
_LIMITS = {"max_vcpus": 64, "max_ram_gb": 256, "max_storage_gb": 2000}
_FORWARDED = {
    "port_forwarding_available": True,
    "dedicated_ip_available": True,
    "network_storage_available": False,
}
_OWN_ONLY = {**_FORWARDED, "port_forwarding_available": False}
LOCATIONS: list[dict[str, Any]] = [
    {
        "id": DALLAS,
        "city": "Dallas",
        "stateprovince": "Texas",
        "country": "United States",
        "tier": 2,
        "gpus": [
            {
                "v0Name": RTX4090,
                "displayName": "NVIDIA GeForce RTX 4090 PCIe 24GB",
                "max_count": 2,
                "price_per_hr": 0.35,
                "resources": _LIMITS,
                "pricing": _PRICING,
                "network_features": _FORWARDED,
            }
        ],
    },
    {
        "id": OSLO,
        "city": "Oslo",
        "stateprovince": "",
        "country": "Norway",
        "tier": 4,
        "gpus": [
            {
                "v0Name": H100,
                "displayName": "NVIDIA H100 SXM5 80GB",
                "max_count": 1,
                "price_per_hr": "2.25",
                "resources": _LIMITS,
                "pricing": _PRICING,
                "network_features": _OWN_ONLY,
            }
        ],
    },
]
HOSTNODES: list[dict[str, Any]] = [
    {
        "id": f"host-{number}",
        "location_id": OSLO,
        "engine": "kvm",
        "uptime_percentage": 99.5,
        "available_resources": {
            "gpus": [{"v0Name": "l40s-pcie-48gb", "availableCount": number, "price_per_hr": price}],
            "vcpu_count": 40,
            "ram_gb": 200,
            "storage_gb": 900,
            "max_vcpus_per_gpu": 16,
            "max_ram_per_gpu": 64,
            "max_vcpus": 40,
            "max_ram_gb": 200,
            "max_storage_gb": 900,
            "available_ports": [20001],
            "has_public_ip_available": False,
        },
        "pricing": _PRICING,
        "location": {"uuid": OSLO, "city": "Oslo", "stateprovince": "", "country": "Norway", "tier": 4},
    }
    for number, price in ((1, 0.8), (2, 0.9))
]
