"""Images that are offered by name. Any other that can be pulled is named by its order's `launch`."""

from dataclasses import dataclass

from berth.core.driver import ProviderImage
from berth.drivers.vastai.sightings import SSH_USER


@dataclass(frozen=True, slots=True)
class _Image:
    slug: str
    name: str
    pulled: str
    cuda: str
    os_version: str
    size_gb: int
    details: tuple[str, ...]
    is_default: bool = False


_IMAGES = (
    _Image(
        "ubuntu-22.04-cuda-12.6",
        "Ubuntu 22.04 + CUDA 12.6",
        "nvidia/cuda:12.6.3-runtime-ubuntu22.04",
        "12.6",
        "22.04",
        4,
        ("Ubuntu 22.04", "CUDA 12.6 runtime"),
        is_default=True,
    ),
    _Image(
        "ubuntu-22.04-cuda-12.6-devel",
        "Ubuntu 22.04 + CUDA 12.6 with compilers",
        "nvidia/cuda:12.6.3-cudnn-devel-ubuntu22.04",
        "12.6",
        "22.04",
        10,
        ("Ubuntu 22.04", "CUDA 12.6 development", "cuDNN"),
    ),
    _Image(
        "pytorch-2.5-cuda-12.4",
        "PyTorch 2.5 + CUDA 12.4",
        "pytorch/pytorch:2.5.1-cuda12.4-cudnn9-devel",
        "12.4",
        "22.04",
        14,
        ("Ubuntu 22.04", "CUDA 12.4", "PyTorch 2.5.1"),
    ),
)


def offered() -> list[ProviderImage]:
    return [
        ProviderImage(
            slug=image.slug,
            name=image.name,
            category="pytorch" if image.slug.startswith("pytorch") else "ubuntu",
            os_name="Ubuntu",
            os_version=image.os_version,
            cuda_version=image.cuda,
            ssh_user=SSH_USER,
            details=image.details,
            is_default=image.is_default,
            min_os_volume_gb=max(10, 2 * image.size_gb),
            size_gb=image.size_gb,
        )
        for image in _IMAGES
    ]


def pulled(slug: str) -> str | None:
    """What is pulled for an image that is offered; None for any other."""
    return next((image.pulled for image in _IMAGES if image.slug == slug), None)
