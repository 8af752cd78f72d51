"""Hardware as this API describes it: a sentence and a number for each part."""

from berth.faces.verda import wire


def cpu(cores: int) -> wire.Cpu:
    return wire.Cpu(description=f"{cores} CPU", number_of_cores=cores)


def gpu(count: int, name: str) -> wire.Gpu:
    """`name` is one GPU as price trackers write it: they read the description."""
    return wire.Gpu(description=f"{count}x {name}" if count else "", number_of_gpus=count)


def gpu_memory(total_gb: int) -> wire.Memory:
    """Of all GPUs together."""
    return wire.Memory(description=f"{total_gb}GB GPU RAM" if total_gb else "", size_in_gigabytes=total_gb)


def memory(size_gb: int) -> wire.Memory:
    return wire.Memory(description=f"{size_gb}GB RAM", size_in_gigabytes=size_gb)


def storage() -> wire.Storage:
    return wire.Storage(description="dynamic")
