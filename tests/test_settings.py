"""Settings come from the command line, the environment and a file, in that order, and a wrong one says so."""

from pathlib import Path

import pytest

from berth.app import DRIVERS, mail_of
from berth.loops.world import Mail
from berth.settings import SettingsError, read


def test_nothing_said_means_the_defaults() -> None:
    settings = read({}, {})
    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 8080)
    assert settings.database == f"sqlite:///{settings.data_dir / 'berth.sqlite3'}"
    assert settings.pepper_path == settings.data_dir / "pepper"


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    config = tmp_path / "berth.toml"
    config.write_text(
        'data_dir = "/file"\n[server]\nhost = "file"\nport = 1\ndrain_s = 7\n[sandbox]\nfirst_port = 30000\n',
        encoding="utf-8",
    )
    environ = {
        "BERTH_CONFIG": str(config),
        "BERTH_DATA_DIR": "/environment",
        "BERTH_SERVER_PORT": "2",
        "BERTH_SERVER_HOST": "environment",
        "BERTH_SIMULATE": "1",
    }
    arguments = {"data_dir": Path("/command"), "simulate": None, "server": {"host": None, "port": 3}}
    settings = read(arguments, environ)
    assert settings.data_dir == Path("/command")
    assert (settings.server.host, settings.server.port, settings.server.drain_s) == ("environment", 3, 7)
    assert settings.simulate is True
    assert settings.sandbox.first_port == 30000


def test_a_database_address_replaces_the_file() -> None:
    settings = read(
        {"database_url": "postgresql://host/berth"}, {"BERTH_DATABASE_URL": "postgresql://other/berth"}
    )
    assert settings.database == "postgresql://host/berth"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[server]\nprot = 1\n", "prot"),
        ('[server]\nport = "many"\n', "port"),
        ("[nonsense]\n", "nonsense"),
        ('[sandbox]\nnetwork = "all"\n', "network"),
        ("data_dir = 5\n", "data_dir"),
        ("[server\n", "berth.toml"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, text: str, named: str) -> None:
    config = tmp_path / "berth.toml"
    config.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=named):
        read({}, {"BERTH_CONFIG": str(config)})


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"absent\.toml"):
        read({}, {"BERTH_CONFIG": str(tmp_path / "absent.toml")})


MAIL = {
    "BERTH_MAIL_HOST": "mail.example",
    "BERTH_MAIL_PORT": "465",
    "BERTH_MAIL_FROM": "berth@cloud.example",
    "BERTH_MAIL_USER": "berth",
    "BERTH_MAIL_PASSWORD": "secret",
    "BERTH_MAIL_TLS": "tls",
}


def test_a_mail_server_is_set_up_from_the_environment_and_the_file(tmp_path: Path) -> None:
    config = tmp_path / "berth.toml"
    config.write_text('[mail]\nfrom = "file@cloud.example"\nhost = "file.example"\n', encoding="utf-8")
    assert mail_of(read({}, MAIL)) == Mail(
        host="mail.example",
        port=465,
        sender="berth@cloud.example",
        user="berth",
        password="secret",
        tls="tls",
    )
    assert mail_of(read({}, {"BERTH_CONFIG": str(config)})) == Mail(
        host="file.example", port=587, sender="file@cloud.example", tls="starttls"
    )
    assert mail_of(read({}, {})) is None


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"BERTH_MAIL_FROM": ""}, "mail.from"),
        ({"BERTH_MAIL_FROM": "Berth <berth@cloud.example>"}, "mail.from"),
        ({"BERTH_MAIL_FROM": "berth@cloud.example\nBcc: x@cloud.example"}, "mail.from"),
        ({"BERTH_MAIL_TLS": "none"}, "mail.tls"),
    ],
)
def test_a_mail_server_that_should_not_be_used_stops_the_start(wrong: dict[str, str], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        mail_of(read({}, MAIL | wrong))


def test_a_user_without_a_password_stops_the_start() -> None:
    alone = {name: value for name, value in MAIL.items() if name != "BERTH_MAIL_PASSWORD"}
    with pytest.raises(SettingsError, match=r"mail\.user"):
        mail_of(read({}, alone))


def test_the_price_of_storage_is_an_amount_above_zero(tmp_path: Path) -> None:
    for wrong in ("0", "-1", "cheap", "0.0000001"):
        settings = read({}, {"BERTH_DATA_DIR": str(tmp_path), "BERTH_SANDBOX_VOLUME_USD_PER_GB_MONTH": wrong})
        with pytest.raises(SettingsError, match=r"sandbox\.volume_usd_per_gb_month"):
            DRIVERS["sandbox"](settings, "install")
