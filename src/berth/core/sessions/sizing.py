"""How much disk a model takes: its weights, room to download them, the image, the system. Pure."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

DEFAULT_GB = 50
"""Where nothing is known of what it is for."""
_IMAGE_GB = 10
_TEMPLATE_IMAGE_GB = 15
_SYSTEM_GB = 5
_STEP_GB = 5
_KNOWN: Mapping[str, str] = {
    "deepseek-v2.5": "236",
    "deepseek-v2-lite": "16",
    "deepseek-v2": "236",
    "deepseek-v3": "671",
    "deepseek-r1": "671",
    "mixtral-8x7b": "46.7",
    "mixtral-8x22b": "141",
    "mistral-large": "123",
    "mistral-nemo": "12.2",
    "mistral-small": "24",
    "command-r-plus": "104",
    "command-r": "35",
    "dbrx": "132",
    "grok-1": "314",
    "phi-2": "2.7",
    "phi-3-mini": "3.8",
    "phi-3-medium": "14",
    "phi-4": "14.7",
    "gpt2": "0.124",
    "llama-4-scout": "109",
    "llama-4-maverick": "400",
}
"""Billions of parameters of models whose names do not say it, or not all of it."""
_PRODUCT = re.compile(r"(?:^|[-_.:])(\d{1,3})x(\d{1,4}(?:\.\d{1,3})?)b(?=$|[-_.:])")
_SINGLE = re.compile(r"(?:^|[-_.:])(\d{1,4}(?:\.\d{1,3})?)b(?=$|[-_.:])")
_BYTES: Mapping[str, Fraction] = {
    **dict.fromkeys(("fp32", "float32"), Fraction(4)),
    **dict.fromkeys(("fp16", "bf16", "float16", "bfloat16", "none", ""), Fraction(2)),
    **dict.fromkeys(("fp8", "int8"), Fraction(1)),
    **dict.fromkeys(("awq", "gptq"), Fraction(9, 16)),
    **dict.fromkeys(("int4", "gguf", "gguf-q4", "q4"), Fraction(1, 2)),
}
"""Of one parameter."""
_SUFFIX = re.compile(
    r"[-_.](fp32|fp16|bf16|fp8|int8|int4|awq|gptq|gguf(?:-q4)?|q4)(?:[-_.](?:\w{1,16}))?$", re.ASCII
)


@dataclass(frozen=True, slots=True)
class DiskEstimate:
    """In GB. Those that are no whole numbers are exact to two decimals."""

    model_weight_gb: float
    download_buffer_gb: float
    docker_image_gb: int
    system_overhead_gb: int
    minimum_gb: int
    recommended_gb: int
    template_floor_gb: int | None = None
    model_id: str | None = None
    quantization: str | None = None
    param_count_b: float | None = None

    def breakdown(self) -> dict[str, object]:
        """The members that are known."""
        members = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in members.items() if value is not None}


def estimate(
    model_id: str | None, quantization: str | None, *, template_floor_gb: int | None = None
) -> DiskEstimate | None:
    """None where nothing can be said: no parameters are known, and there is no template."""
    parameters = None if model_id is None else billions_of(model_id)
    if parameters is None and template_floor_gb is None:
        return None
    said = quantization or (None if model_id is None else quantization_of(model_id))
    weights = Fraction(0) if parameters is None else parameters * bytes_of(said)
    buffer = weights / 2
    image_gb = _IMAGE_GB if template_floor_gb is None else _TEMPLATE_IMAGE_GB
    minimum = math.ceil(weights + buffer + image_gb + _SYSTEM_GB)
    recommended = math.ceil(Fraction(minimum * 6, 5) / _STEP_GB) * _STEP_GB
    floor = template_floor_gb or 0
    return DiskEstimate(
        model_weight_gb=_shown(weights),
        download_buffer_gb=_shown(buffer),
        docker_image_gb=image_gb,
        system_overhead_gb=_SYSTEM_GB,
        minimum_gb=max(minimum, floor),
        recommended_gb=max(recommended, floor),
        template_floor_gb=template_floor_gb or None,
        model_id=model_id,
        quantization=said,
        param_count_b=None if parameters is None else _shown(parameters),
    )


def billions_of(model_id: str) -> Fraction | None:
    """How many billions of parameters a model has, by its name."""
    name = model_id.rpartition("/")[2].casefold()
    if "distill" not in name:  # what is distilled from a model has another's size
        for known in sorted(_KNOWN, key=len, reverse=True):
            if name == known or name.startswith((f"{known}-", f"{known}_", f"{known}:", f"{known}.")):
                return Fraction(_KNOWN[known])
    product = _PRODUCT.search(name)
    if product is not None:
        return int(product[1]) * Fraction(product[2])
    single = _SINGLE.search(name)
    return None if single is None else Fraction(single[1])


def quantization_of(model_id: str) -> str | None:
    """What the end of its name says; None where it says nothing."""
    found = _SUFFIX.search(model_id.casefold())
    return None if found is None else found[1]


def bytes_of(quantization: str | None) -> Fraction:
    """Of one parameter; what is not known counts as not quantized."""
    return _BYTES.get((quantization or "").casefold(), Fraction(2))


def _shown(value: Fraction) -> float:
    return round(float(value), 2)
