"""Every program of docs/guides/python.md, as it is written, against a real agent."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from proglog.security.devcerts import DevCerts
from proglog.testing import AgentProcess

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "guides" / "python.md").read_text()
PROGRAMS = dict(re.findall(r"^## (\d+\. [^\n]+)\n(?:(?!## )[^\n]*\n)*?```python\n([\s\S]*?)```", PAGE, re.MULTILINE))


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentProcess]:
    with AgentProcess("guide", tmp_path_factory.mktemp("guide")) as started:
        yield started


def test_the_guide_has_its_sections_and_a_program_in_each() -> None:
    titles = re.findall(r"^## (.+)$", PAGE, re.MULTILINE)

    assert [title.split(".")[0] for title in titles] == [str(number) for number in range(1, 16)]
    assert list(PROGRAMS) == titles
    assert PAGE.count("```python") == len(titles)


@pytest.mark.parametrize("title", [title for title in PROGRAMS if "TLS" not in title])
def test_a_program_of_the_guide_runs(agent: AgentProcess, tmp_path: Path, title: str) -> None:
    run(PROGRAMS[title], tmp_path, {"PROGLOG_ADDR": agent.rpc_addr})


def test_the_program_with_tls_runs(dev_certs: DevCerts, tmp_path: Path) -> None:
    server, client = dev_certs.server, dev_certs.clients["root"]
    flags = {
        "server-tls-cert-file": str(server.cert_file),
        "server-tls-key-file": str(server.key_file),
        "server-tls-ca-file": str(server.ca_file),
        "peer-tls-cert-file": str(dev_certs.peer.cert_file),
        "peer-tls-key-file": str(dev_certs.peer.key_file),
        "peer-tls-ca-file": str(dev_certs.peer.ca_file),
    }
    with AgentProcess("tls", tmp_path, flags=flags) as agent:
        variables = {
            "PROGLOG_ADDR": agent.rpc_addr,
            "PROGLOG_TLS_CERT_FILE": str(client.cert_file),
            "PROGLOG_TLS_KEY_FILE": str(client.key_file),
            "PROGLOG_TLS_CA_FILE": str(client.ca_file),
        }
        run(next(code for title, code in PROGRAMS.items() if "TLS" in title), tmp_path, variables)


def run(code: str, directory: Path, variables: dict[str, str]) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PROGLOG_")}
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=directory,
        env=environment | variables,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (result.returncode, result.stderr) == (0, "")
