"""Settings come from the command line, the environment and a file, in that order, and a wrong one says so."""

from pathlib import Path

import msgspec
import pytest

from berth.app import build, mail_of, rules_of
from berth.core.billing import PERIODS, Period, Unit
from berth.loops.world import Mail
from berth.providers import DRIVERS
from berth.settings import Settings, SettingsError, read

DOCUMENT = Path(__file__).parent.parent / "docs" / "settings.md"


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


def test_long_terms_are_tables_of_the_file_and_replace_the_defaults(tmp_path: Path) -> None:
    assert rules_of(read({}, {})).periods == PERIODS
    config = tmp_path / "berth.toml"
    config.write_text(
        '[[contracts.periods]]\ncode = "2_WEEKS"\nname = "2 weeks"\nunit_name = "week"\nunit_value = 2\n'
        "discount_percentage = 5\nis_enabled = false\n",
        encoding="utf-8",
    )
    rules = rules_of(read({}, {"BERTH_CONFIG": str(config)}))
    assert rules.periods == (Period("2_WEEKS", "2 weeks", Unit.WEEK, 2, 5, is_enabled=False),)
    assert rules.cluster_periods == PERIODS


PERIOD = 'name = "x"\nunit_name = "month"\nunit_value = 1\ndiscount_percentage = 5\n'


@pytest.mark.parametrize(
    "text",
    [
        f'[[contracts.periods]]\ncode = "A"\n{PERIOD}[[contracts.periods]]\ncode = "A"\n{PERIOD}',
        f'[[contracts.periods]]\ncode = "a b"\n{PERIOD}',
        f'[[contracts.periods]]\ncode = "A"\n{PERIOD.replace("= 5", "= 101")}',
        f'[[contracts.periods]]\ncode = "A"\n{PERIOD.replace("month", "moon")}',
        f'[[contracts.periods]]\ncode = "A"\n{PERIOD.replace("= 1", "= 0")}',
        f"[[contracts.cluster_periods]]\n{PERIOD}",
    ],
)
def test_a_wrong_long_term_stops_the_start(tmp_path: Path, text: str) -> None:
    config = tmp_path / "berth.toml"
    config.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match="periods"):
        rules_of(read({}, {"BERTH_CONFIG": str(config)}))


@pytest.mark.parametrize("rate", ["0", "-1", "much", "1001", "0.00000001"])
def test_a_rate_of_the_euro_that_is_none_stops_the_start(tmp_path: Path, rate: str) -> None:
    with pytest.raises(SettingsError, match="eur_per_usd"):
        build(read({"data_dir": tmp_path}, {"BERTH_CURRENCY_EUR_PER_USD": rate}))


def test_faces_are_told_the_rate_of_the_euro_and_how_many_scripts_are_kept(tmp_path: Path) -> None:
    environ = {"BERTH_CURRENCY_EUR_PER_USD": "0.95", "BERTH_ACCESS_SCRIPTS_PER_PROJECT": "7"}
    process = build(read({"data_dir": tmp_path}, environ))
    policy = process.context.policy
    process.database.close()
    assert (policy.eur_per_usd_micros, policy.scripts_per_project) == (950_000, 7)


def test_every_setting_is_in_the_document() -> None:
    names = []
    for field in msgspec.structs.fields(Settings):
        kind = field.type
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            names += [f"{field.encode_name}.{each.encode_name}" for each in msgspec.structs.fields(kind)]
        else:
            names.append(field.encode_name)
    text = DOCUMENT.read_text()
    assert "server.port" in names
    assert [name for name in names if f"`{name}`" not in text] == []
