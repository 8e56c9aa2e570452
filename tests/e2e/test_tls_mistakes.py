"""What is said when client and agent disagree on TLS: what is wrong, at which address, and what to do; exit code 5."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from proglog.security.devcerts import DevCerts, create_dev_certs
from proglog.security.tls import TLSFiles
from proglog.testing.processes import AgentProcess

OURS = ("error: ", "hint: ", "0 records in ", "cannot reach ", "127.0.0.1:", "TLS with ")
"""What lines on stderr begin with: the outcome, and that produce tried again. No line is a library's own."""


def flags(side: str, files: TLSFiles) -> dict[str, str]:
    return {f"{side}tls-{part}-file": str(getattr(files, f"{part}_file")) for part in ("ca", "cert", "key")}


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> DevCerts:
    return create_dev_certs(tmp_path_factory.mktemp("certs"), clients=("root",))


def test_a_disagreement_on_tls_is_one_error_with_the_way_out_and_five(
    certs: DevCerts, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    other = create_dev_certs(tmp_path / "other", clients=("root",))
    elsewhere = certs.add_server("elsewhere", server_names=("other.example",))
    root, stranger = certs.clients["root"], other.clients["root"]
    sealed = {**flags("server-", elsewhere), **flags("peer-", certs.peer), "insecure-gossip": ""}
    named = {**flags("server-", certs.server), **flags("peer-", certs.peer), "insecure-gossip": ""}
    with (
        AgentProcess("plain", tmp_path, flags={"insecure": ""}) as plain,
        AgentProcess("sealed", tmp_path, flags=named) as agent,
        AgentProcess("elsewhere", tmp_path, flags=sealed) as misnamed,
    ):
        for verb, asked, tls, words in (
            ("members", misnamed, root, "is not for '127.0.0.1': its names are other.example"),
            ("members", agent, stranger, "is of another authority"),
            ("members", plain, root, "does not speak TLS: leave the TLS files out"),
            ("members", agent, None, "--tls-ca-file"),
            ("produce", agent, stranger, "is of another authority"),
        ):
            done = call(asked, tls, verb)
            lines = done.stderr.splitlines()
            assert done.returncode == 5, (verb, words, done.stderr)
            (error,) = [line for line in lines if line.startswith("error: ")]
            assert asked.rpc_addr in error
            assert words in done.stderr
            assert [line for line in lines if not line.startswith(OURS) or "SSL" in line] == []
            assert "proglog serve" not in done.stderr  # an agent is there


def call(agent: AgentProcess, tls: TLSFiles | None, *verb: str) -> "subprocess.CompletedProcess[str]":
    given = [part for flag, path in (flags("", tls) if tls else {}).items() for part in (f"--{flag}", path)]
    command = [sys.executable, "-m", "proglog", *verb, "--addr", agent.rpc_addr, "--timeout", "5s", *given]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PROGLOG_", "GRPC_"))}
    return subprocess.run(command, input="x\n", env=clean, capture_output=True, text=True, timeout=60, check=False)
