"""The command line in this process, against a desk that says what it is told to."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from berth.cli import main
from tests.shopping import desk as desks


@dataclass(frozen=True)
class Said:
    status: int
    out: str
    error: str


Berth = Callable[..., Said]


@pytest.fixture
def desk() -> Iterator[desks.Desk]:
    with desks.opened() as opened:
        yield opened


@pytest.fixture
def berth(
    desk: desks.Desk, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Berth:
    monkeypatch.setenv("BERTH_URL", desk.url)
    monkeypatch.setenv("BERTH_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> Said:
        capsys.readouterr()
        try:
            main(arguments)
            status = 0
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        captured = capsys.readouterr()
        return Said(status, captured.out, captured.err)

    return run
