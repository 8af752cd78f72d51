"""What `deploy/` holds is of this release: its commands, its settings and its files exist."""

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from berth import cli, serving
from berth.process import SWEEP_S
from berth.settings import Settings

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
PAGE = (ROOT / "docs" / "production.md").read_text("utf-8")


def settings() -> set[str]:
    """The name of every setting in the environment."""
    names = {"BERTH_CONFIG"}
    for member in msgspec.structs.fields(Settings):
        if isinstance(member.type, type) and issubclass(member.type, msgspec.Struct):
            names |= {
                f"BERTH_{member.name}_{field.encode_name}".upper()
                for field in msgspec.structs.fields(member.type)
            }
        else:
            names.add(f"BERTH_{member.name}".upper())
    return names


def texts() -> list[Path]:
    return [path for path in DEPLOY.rglob("*") if path.is_file()] + [ROOT / "docs" / "production.md"]


@pytest.mark.parametrize("path", texts(), ids=lambda path: path.name)
def test_settings_that_are_named_exist(path: Path) -> None:
    named = set(re.findall(r"\bBERTH_[A-Z_]+", path.read_text("utf-8")))
    assert named <= settings()


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_units_run_commands_that_exist(unit: Path) -> None:
    [line] = re.findall(r"^ExecStart=(.*)$", unit.read_text("utf-8"), re.MULTILINE)
    words = shlex.split(line.replace("%i", "8081"))
    if words[0] == "/bin/sh":
        words = words[2].removeprefix("exec ").replace('"', "").split()[:3]
    assert words[0] == "/opt/berth/venv/bin/berth"
    command, bound, _ = cli.cli.parse_args(words[1:], print_error=False, exit_on_error=False)
    assert command.__name__ == words[1]
    assert (words[1] == "backup") == ("file" in bound.arguments)


def test_the_sandbox_outlives_its_server_and_nothing_else_does() -> None:
    """Instances are processes of the unit: killed with it, an upgrade would end what customers pay for."""
    for unit in UNITS:
        is_sandbox = unit.name == "berth-sandbox.service"
        assert ("KillMode=process" in unit.read_text("utf-8")) == is_sandbox, unit.name


def test_the_compose_file_says_what_it_means() -> None:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
    services = found["services"]
    assert set(services) == {"db", "serve", "work", "proxy"}
    for service in services.values():
        assert set(service.get("networks", ())) <= set(found["networks"])
        assert set(service.get("secrets", ())) <= set(found["secrets"])
        assert set(service.get("depends_on", {})) <= set(services)
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in found["volumes"] or source == "./tls" or (DEPLOY / source).is_file()
    build = services["serve"]["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).resolve().is_file()
    assert services["work"]["command"] == ["work"]


def test_an_image_takes_only_what_there_is() -> None:
    lines = (DEPLOY / "Dockerfile").read_text("utf-8").splitlines()
    copied = [word for line in lines if line.startswith("COPY") for word in line.split()[1:-1]]
    assert copied
    assert all((ROOT / name).exists() for name in copied)


def test_files_that_the_page_names_are_there() -> None:
    for name in re.findall(r"/opt/berth/source/(deploy/[\w./*@-]+)", PAGE):
        assert list(ROOT.glob(name)), name
    for name in re.findall(r"\]\(\.\./(deploy/[\w./-]+)\)", PAGE):
        assert (ROOT / name).exists(), name


def test_a_shell_reads_the_settings_that_the_services_have() -> None:
    """An address with an ampersand, unquoted, is no setting for a shell: commands would work on another database."""
    example = DEPLOY / "berth.env.example"
    lines = [line for line in example.read_text("utf-8").splitlines() if line and not line.startswith("#")]
    read = "set -a; . " + shlex.quote(str(example)) + "; exec env"
    done = subprocess.run(["sh", "-c", read], env={}, capture_output=True, text=True, check=True)
    seen = dict(line.split("=", 1) for line in done.stdout.splitlines())
    for line in lines:
        name, _, value = line.partition("=")
        assert seen[name] == value.strip("'"), name
        # Only root reads what is in there; systemd does so for the settings, and nobody for a path in them.
        assert "/etc/berth/" not in value


def test_the_proxy_gives_idle_connections_up_before_the_server_does() -> None:
    """Otherwise an order may be sent on a connection that is just being closed, and is answered with 502."""
    text = (DEPLOY / "nginx" / "berth.conf").read_text("utf-8")
    kept = [int(seconds) for seconds in re.findall(r"^ +keepalive_timeout (\d+)s;$", text, re.MULTILINE)]
    assert kept
    assert max(kept) < serving.KEEP_ALIVE_S


def test_whoever_waits_for_ready_waits_as_long_as_that_may_take() -> None:
    """A provider that does not answer holds `/ready` up for a while, and must not keep a replica from its requests."""
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
    assert int(found["services"]["serve"]["healthcheck"]["start_period"].removesuffix("s")) > SWEEP_S
    tries = re.findall(r"curl --retry (\d+) --retry-delay 1 --retry-connrefused -fsS \S+/ready", PAGE)
    assert len(tries) == PAGE.count("/ready") - PAGE.count("`GET /ready`")
    assert all(int(each) > SWEEP_S for each in tries)


def test_a_system_call_that_a_unit_denies_fails_and_kills_nobody() -> None:
    """Libraries try what they can do without: numpy's places its memory with one that is denied, when it is loaded."""
    for unit in UNITS:
        text = unit.read_text("utf-8")
        assert ("SystemCallFilter=" in text) == ("SystemCallErrorNumber=EPERM" in text), unit.name


def test_the_box_may_do_what_an_instance_is_made_with() -> None:
    """Of a host name, a /proc that nothing covers, namespaces and the host's devices; without one none starts."""
    text = (DEPLOY / "systemd" / "berth-sandbox.service").read_text("utf-8")
    set_here = set(re.findall(r"^(\w+)=", text, re.MULTILINE))
    assert set_here.isdisjoint(
        {
            "DeviceAllow",
            "PrivateDevices",
            "PrivateUsers",
            "ProcSubset",
            "ProtectHostname",
            "ProtectKernelLogs",
            "ProtectKernelTunables",
            "ProtectProc",
            "RestrictNamespaces",
            "SystemCallFilter",
        }
    )


def test_a_backup_that_fails_is_tried_again_before_the_next_night() -> None:
    """A night that was missed is made up for as the host starts, when the database may not answer yet."""
    text = (DEPLOY / "systemd" / "berth-backup.service").read_text("utf-8")
    assert "Persistent=yes" in (DEPLOY / "systemd" / "berth-backup.timer").read_text("utf-8")
    assert re.search(r"^After=.*\bpostgresql\.service$", text, re.MULTILINE)
    assert "Restart=on-failure" in text
    # An end to it: those of an hour reach further than their pauses take.
    assert re.search(r"^RestartSec=5min$", text, re.MULTILINE)
    assert re.search(r"^StartLimitIntervalSec=1h$\n^StartLimitBurst=6$", text, re.MULTILINE)


def test_the_proxy_passes_on_what_replicas_say_while_the_database_is_away() -> None:
    """A 503 that is tried at the other counts as a failure: of a few, no replica would be asked, and 502 be answered."""
    text = (DEPLOY / "nginx" / "berth.conf").read_text("utf-8")
    assert "http_503" in text
    replicas = re.findall(r"^ +server 127\.0\.0\.1:\d+ (.*);$", text, re.MULTILINE)
    assert replicas == ["max_fails=0"] * 2


def test_an_upgrade_takes_everything_along_that_an_install_put_somewhere() -> None:
    """What is left behind is of the release before: a unit that was mended would go on as it was."""
    install, upgrade = (PAGE.split(f"## {title}")[1].split("\n## ")[0] for title in ("Install", "Upgrades"))
    start = PAGE.split("## Start")[1].split("\n## ")[0]
    put = re.findall(r"^install -m .* /opt/berth/source/.*$", install + start, re.MULTILINE)
    assert len(put) == 2
    assert all(line in upgrade for line in put)
    assert "systemctl daemon-reload" in upgrade


def test_the_page_asks_for_no_program_that_a_bare_debian_lacks() -> None:
    asked = set(" ".join(re.findall(r"^apt install (.*)$", PAGE, re.MULTILINE)).split())
    assert {"curl", "git", "nginx", "openssl", "postgresql", "python3-venv"} <= asked
    assert not re.search(r"^\s*sudo\b", PAGE, re.MULTILINE)
