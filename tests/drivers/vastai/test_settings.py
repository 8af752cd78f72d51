"""An account at Vast.ai is set up from the settings, and what could not be used stops the start."""

from pathlib import Path

import pytest

from berth.app import build
from berth.drivers.vastai import VastaiDriver
from berth.providers import DRIVERS
from berth.settings import SettingsError, read

KEY = {"BERTH_VASTAI_API_KEY": "made-up"}


def test_without_a_key_nothing_is_bought_there() -> None:
    assert DRIVERS["vastai"](read({}, {}), "install") is None
    assert isinstance(DRIVERS["vastai"](read({}, KEY), "install"), VastaiDriver)


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("api_key", ""),
        ("api_key", "two\nlines"),
        ("base_url", "console.vast.ai"),
        ("base_url", "ftp://console.vast.ai"),
        ("min_reliability", "1.01"),
        ("min_reliability", "-0.1"),
        ("min_reliability", "NaN"),
        ("min_reliability", "high"),
        ("low_balance_usd", "little"),
        ("margin_percent", "-1"),
        ("disk_gb", "7"),
        ("search_pages", "0"),
        ("search_pages", "11"),
        ("pace_permille", "-1"),
        ("verified_only", "perhaps"),
    ],
)
def test_a_wrong_setting_of_it_is_named(member: str, value: str) -> None:
    with pytest.raises(SettingsError, match=member):
        DRIVERS["vastai"](read({}, KEY | {f"BERTH_VASTAI_{member.upper()}": value}), "install")


def test_its_margin_is_that_of_its_settings(tmp_path: Path) -> None:
    settings = read({"data_dir": tmp_path, "vastai": {"margin_percent": 25}}, KEY)
    process = build(settings)
    try:
        assert process.runner.world.margins["vastai"] == 25
        assert process.runner.world.drivers["vastai"] is process.drivers["vastai"]
    finally:
        process.database.close()
