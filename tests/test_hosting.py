"""What an operator writes of own hosts, and what stops the start."""

from pathlib import Path

import pytest

from berth.drivers.incus import IncusDriver
from berth.hosting import config_of
from berth.providers import DRIVERS
from berth.settings import Settings, SettingsError, read

GOOD = """
[incus]
project = "berth"
addresses = ["https://10.0.0.11:8443", "https://10.0.0.12:8443"]
certificate = "/etc/berth/berth.crt"
key = "/etc/berth/berth.key"
server_fingerprint = "ab"
public_addresses = { gpu1 = "203.0.113.11" }

[[incus.types]]
name = "1H100.80S.30V"
gpu_model = "H100"
gpu_count = 1
gpu_vram_gb = 80
vcpu_count = 30
ram_gb = 120
usd_per_hour = "1.71"

[[incus.locations]]
code = "HEL-01"
name = "Helsinki"
country_code = "FI"
members = ["gpu1", "gpu2"]
"""


def settings_of(directory: Path, text: str) -> Settings:
    file = directory / "berth.toml"
    file.write_text(text)
    return read({"data_dir": directory}, {"BERTH_CONFIG": str(file)})


def test_a_price_list_and_its_members_are_told_to_the_driver(tmp_path: Path) -> None:
    config = config_of(settings_of(tmp_path, GOOD).incus)
    (sold,) = config.types
    assert (sold.name, sold.gpu_model, sold.price_micros_per_hour) == ("1H100.80S.30V", "H100", 1_710_000)
    assert config.location_of("gpu2") == config.locations[0].place
    assert config.addresses == ("https://10.0.0.11:8443", "https://10.0.0.12:8443")
    assert [image.alias for image in config.images] == ["debian-12"]


def test_without_a_price_list_own_hosts_are_not_sold(tmp_path: Path) -> None:
    assert DRIVERS["incus"](settings_of(tmp_path, ""), "install") is None
    assert isinstance(DRIVERS["incus"](settings_of(tmp_path, GOOD), "install"), IncusDriver)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("ram_gb = 120", "ram_gb = 120\nis_virtual_machine = true", "incus.types: 1H100.80S.30V"),
        ('usd_per_hour = "1.71"', 'usd_per_hour = "much"', "usd_per_hour"),
        ('usd_per_hour = "1.71"', 'usd_per_hour = "0"', "usd_per_hour"),
        ("gpu_count = 1\n", "", "gpu_count"),
        ('gpu_model = "H100"\n', "", "gpu_model"),
        ("https://10.0.0.11", "http://10.0.0.11", "addresses"),
        ('key = "/etc/berth/berth.key"\n', "", "incus.key"),
        ('server_fingerprint = "ab"\n', "", "server_fingerprint"),
        ('project = "berth"', "first_port = 30001", "first_port"),
        ('"gpu1", "gpu2"]', '"gpu1", "gpu1"]', "members"),
        ('project = "berth"', 'volume_usd_per_gb_month = "-1"', "volume_usd_per_gb_month"),
    ],
)
def test_what_does_not_go_together_stops_the_start_and_is_named(
    tmp_path: Path, old: str, new: str, named: str
) -> None:
    assert old in GOOD
    with pytest.raises(SettingsError, match=named):
        DRIVERS["incus"](settings_of(tmp_path, GOOD.replace(old, new)), "install")
