"""How much disk a model takes, worked out from its name."""

import pytest

from berth.core.sessions.sizing import billions_of, estimate, quantization_of


@pytest.mark.parametrize(
    ("model_id", "billions"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", 8),
        ("Qwen/Qwen2.5-0.5B", 0.5),
        ("Qwen/Qwen2.5-72B-Instruct-AWQ", 72),
        ("mistralai/Mixtral-8x7B-v0.1", 46.7),
        ("acme/moe-4x2b", 8),
        ("qwen3:14b", 14),
        ("deepseek-ai/DeepSeek-V2.5", 236),
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-7B", 7),
        ("acme/model-7billion", None),
        ("acme/7bx", None),
        ("", None),
    ],
)
def test_a_name_says_how_many_parameters_there_are(model_id: str, billions: float | None) -> None:
    found = billions_of(model_id)
    assert (None if found is None else float(found)) == billions


@pytest.mark.parametrize(
    ("model_id", "quantization"),
    [
        ("Qwen/Qwen2.5-72B-Instruct-AWQ", "awq"),
        ("TheBloke/Llama-2-13B-GPTQ", "gptq"),
        ("acme/model-7b-GGUF", "gguf"),
        ("acme/model-7b-fp8", "fp8"),
        ("acme/model-7b", None),
    ],
)
def test_the_end_of_a_name_says_how_it_is_quantized(model_id: str, quantization: str | None) -> None:
    assert quantization_of(model_id) == quantization


@pytest.mark.parametrize(
    ("model_id", "quantization", "floor_gb", "minimum_gb", "recommended_gb"),
    [
        ("llama-8b", None, None, 39, 50),  # 16 + 8 + 10 + 5; 46.8
        ("llama-8b", "fp32", None, 63, 80),  # 32 + 16 + 15
        ("llama-8b", "int4", None, 21, 30),  # 4 + 2 + 15
        ("llama-70b-awq", None, None, 75, 90),  # 39.375 + 19.6875 + 15 = 74.06
        ("llama-8b", None, 32, 44, 55),  # a template's image is larger
        ("llama-8b", None, 100, 100, 100),
        (None, None, 32, 32, 32),
    ],
)
def test_a_model_takes_its_weights_half_as_much_again_its_image_and_the_system(
    model_id: str | None, quantization: str | None, floor_gb: int | None, minimum_gb: int, recommended_gb: int
) -> None:
    found = estimate(model_id, quantization, template_floor_gb=floor_gb)
    assert found is not None
    assert (found.minimum_gb, found.recommended_gb) == (minimum_gb, recommended_gb)


def test_the_breakdown_names_what_is_known() -> None:
    found = estimate("acme/llama-70b-awq", None)
    assert found is not None
    assert found.breakdown() == {
        "model_weight_gb": 39.38,
        "download_buffer_gb": 19.69,
        "docker_image_gb": 10,
        "system_overhead_gb": 5,
        "minimum_gb": 75,
        "recommended_gb": 90,
        "model_id": "acme/llama-70b-awq",
        "quantization": "awq",
        "param_count_b": 70.0,
    }


@pytest.mark.parametrize("model_id", [None, "acme/mystery"])
def test_of_a_model_that_says_nothing_nothing_is_said(model_id: str | None) -> None:
    assert estimate(model_id, None) is None
