"""The images that can be ordered here: the host's own system, or, with a pretended catalogue, pretended ones.

The sandbox boots nothing: whatever image is ordered, an instance gets the host's system.
"""

import platform
import re

from berth.base import ids
from berth.core.driver import ProviderImage

_CLUSTER_GPUS = ("H100", "H200", "A100", "B200", "B300", "GB200")


def _ubuntu(
    version: str,
    *,
    cuda: str | None = None,
    driver: str | None = None,
    has_open_driver: bool = False,
    has_docker: bool = False,
    is_cluster: bool = False,
    is_default: bool = False,
    gpu_models: tuple[str, ...] | None = None,
    known_by: str = "",
) -> ProviderImage:
    words = [f"ubuntu-{version}"]
    name = f"Ubuntu {version}"
    details = [name]
    if cuda is not None:
        words.append(f"cuda-{cuda}")
        name += f" + CUDA {cuda}"
        details.append(f"CUDA {cuda}")
    if has_open_driver:
        words.append("open")
        name += " Open"
        details.append("NVIDIA open kernel modules")
    if is_cluster:
        words.append("cluster")
        name += " Cluster"
        details.append("Cluster networking")
    if has_docker and not is_cluster:
        words.append("docker")
        name += " + Docker"
    if has_docker:
        details.append("Docker")
    if len(details) == 1:
        details.append("Minimal Image")
    return ProviderImage(
        slug="-".join(words),
        name=name,
        category="cluster" if is_cluster else "ubuntu",
        os_name=f"Ubuntu {version}",
        os_version=version,
        ssh_user="root" if is_cluster else "ubuntu",
        details=tuple(details),
        is_default=is_default,
        is_cluster=is_cluster,
        cuda_version=cuda,
        driver_version=driver,
        has_docker=has_docker,
        min_os_volume_gb=10 if cuda is None else 30,
        gpu_models=gpu_models,
        known_id=ids.of_uuid(known_by),
    )


# dstack orders three of them by the id that they have at Verda.
SIMULATED = (
    _ubuntu(
        "24.04",
        cuda="12.8",
        driver="570",
        has_open_driver=True,
        has_docker=True,
        is_default=True,
        known_by="77777777-4f48-4249-82b3-f199fb9b701b",
    ),
    _ubuntu(
        "24.04",
        cuda="13.0",
        driver="580",
        has_open_driver=True,
        has_docker=True,
        known_by="2404f580-1300-1111-82b3-f199fb9b701b",
    ),
    _ubuntu("22.04", cuda="12.4", driver="550", has_docker=True, is_cluster=True, gpu_models=_CLUSTER_GPUS),
    _ubuntu("22.04", cuda="12.9", driver="575", has_docker=True, is_cluster=True, gpu_models=_CLUSTER_GPUS),
    _ubuntu("22.04", cuda="12.4", driver="550", has_docker=True),
    _ubuntu(
        "22.04", cuda="12.0", driver="525", has_docker=True, known_by="2088da25-bb0d-41cc-a191-dccae45d96fd"
    ),
    _ubuntu("24.04"),
    _ubuntu("22.04"),
)


def of_this_host() -> ProviderImage:
    """The system that instances really get here, as the host names it."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    system, version = release.get("ID", "linux"), release.get("VERSION_ID")
    name = release.get("NAME", "Linux")
    return ProviderImage(
        slug=re.sub(r"[^a-z0-9.]+", "-", "-".join(filter(None, (system, version))).lower()),
        name=release.get("PRETTY_NAME", name),
        category=system,
        os_name=" ".join(filter(None, (name, version))),
        os_version=version,
        ssh_user="root",
        details=("This host's own system",),
        is_default=True,
        arch=platform.machine(),
    )
