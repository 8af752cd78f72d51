"""Whether the IaaS API does what its OpenAPI document says, asked by a program that has read nothing else."""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.processes.running import Server

EXAMPLES = 5
"""Of each kind for each route; `schemathesis run` by hand tries more."""
_LIMIT_S = 900


@pytest.mark.slow
@pytest.mark.timeout(_LIMIT_S + 60)
def test_the_iaas_api_does_what_its_document_says(server: Server, tmp_path: Path) -> None:
    server.start()
    base_url = f"http://127.0.0.1:{server.port}/v1"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "schemathesis.cli",
            "run",
            f"{base_url}/openapi.json",
            "--header",
            f"Authorization: Bearer {_token(server, base_url)}",
            # What fits the document may still name a place or a thing that there is not: that is a 400 or a 404.
            "--exclude-checks",
            "positive_data_acceptance",
            "--generation-deterministic",
            "--max-examples",
            str(EXAMPLES),
            "--no-color",
        ],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{server.log()}"


def _token(server: Server, base_url: str) -> str:
    credentials = server.credentials()
    body = {
        "grant_type": "client_credentials",
        "client_id": credentials["client_id"],
        "client_secret": credentials["client_secret"],
    }
    request = urllib.request.Request(
        f"{base_url}/oauth2/token", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        token: str = json.loads(answer.read())["access_token"]
    return token
