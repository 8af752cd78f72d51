"""From an operator's settings to a driver, or to a sentence about what is wrong with them."""

import pytest

from berth.drivers.tensordock import config
from berth.providers import DRIVERS
from berth.settings import Settings, SettingsError, TensorDock, read


def test_without_a_token_nothing_is_bought() -> None:
    assert DRIVERS["tensordock"](Settings(), "install") is None
    assert DRIVERS["tensordock"](Settings(tensordock=TensorDock(api_token="")), "install") is None


def test_the_environment_sets_an_organisation_up() -> None:
    settings = read({}, {"BERTH_TENSORDOCK_API_TOKEN": "t", "BERTH_TENSORDOCK_MARGIN_PERCENT": "5"})
    assert settings.tensordock == TensorDock(api_token="t", margin_percent=5)
    assert DRIVERS["tensordock"](settings, "install") is not None


def test_an_address_that_is_none_is_said() -> None:
    settings = Settings(tensordock=TensorDock(api_token="t", base_url="dashboard.tensordock.com"))
    with pytest.raises(SettingsError, match=r"tensordock\.base_url"):
        DRIVERS["tensordock"](settings, "install")


def test_the_default_image_is_one_and_the_same() -> None:
    assert TensorDock().default_image == config.DEFAULT_IMAGE
