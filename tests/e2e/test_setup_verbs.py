"""The verbs that prepare a cluster: certificates, rules, configuration. As whole processes, in an empty directory."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from proglog.security.actions import ACTIONS
from proglog.security.certificates import certificate_summary
from proglog.testing.processes import AgentProcess

CLEAN = {key: value for key, value in os.environ.items() if not key.startswith("PROGLOG_")}


def proglog(directory: Path, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "proglog", *arguments],
        cwd=directory,
        env=CLEAN | variables,
        capture_output=True,
        text=True,
        timeout=30,
    )


def variables_in(path: Path) -> dict[str, str]:
    lines = (line.removeprefix("export ").split("=", 1) for line in path.read_text().splitlines())
    return dict(lines)


def test_what_certs_makes_runs_an_agent_and_lets_its_clients_in(tmp_path: Path) -> None:
    made = proglog(tmp_path, "certs", "certs", "--client", "root", "--client", "alice")
    assert made.returncode == 0, made.stderr
    assert "proglog serve --config certs/serve.toml" in made.stderr
    agent = AgentProcess("a", tmp_path, flags={"config": str(tmp_path / "certs/serve.toml")})
    agent.start()
    try:
        alice = variables_in(tmp_path / "certs/client-alice.env")
        status = proglog(tmp_path, "status", "--addr", agent.rpc_addr, **alice)
        stranger = proglog(tmp_path, "status", "--addr", agent.rpc_addr)
    finally:
        agent.kill()

    assert status.returncode == 0, status.stderr
    assert re.search(r"TLS, access control \(generation 1; \d+ rules for [^)]+\), gossip encrypted", status.stdout)
    assert stranger.returncode != 0


def test_certs_again_keeps_what_is_good_and_adds_the_new_client_to_the_rules(tmp_path: Path) -> None:
    proglog(tmp_path, "certs", "certs", "--client", "reader=consume")
    directory = tmp_path / "certs"
    kept = {name: (directory / name).read_bytes() for name in ("ca.pem", "server.pem", "peer.pem", "gossip.key")}
    before = (directory / "policy.csv").read_text()
    assert "p, reader, *, consume\n" in before
    assert "p, reader, *, produce" not in before

    again = proglog(tmp_path, "certs", "certs", "--client", "reader=produce", "--client", "bob", "-o", "json")

    after = (directory / "policy.csv").read_text()
    assert after.startswith(before)
    assert "p, bob, *, produce\n" in after.removeprefix(before)
    assert "replicate" not in after.removeprefix(before)
    assert "p, reader, *, produce" not in after
    assert "reader has rules" in again.stderr

    assert {name: (tmp_path / "certs" / name).read_bytes() for name in kept} == kept
    assert [row["subject"] for row in json.loads(again.stdout)["items"]][-1] == "bob"
    assert (tmp_path / "certs/gossip.key").stat().st_mode & 0o777 == 0o600


def test_a_client_added_to_rules_of_the_book_takes_nothing_from_the_others(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    policy = tmp_path / "c/policy.csv"
    policy.write_text("p, root, *, produce\np, root, *, consume\np, root, *, operate\np, reader, *, consume")

    def allowed(subject: str) -> set[str]:
        files = ("--acl-model-file", "c/model.conf", "--acl-policy-file", "c/policy.csv")
        return {action for action in ACTIONS if proglog(tmp_path, "acl", subject, action, *files).returncode == 0}

    proglog(tmp_path, "certs", "c", "--client", "alice=describe,observe,replicate")

    assert allowed("root") == set(ACTIONS)
    assert allowed("reader") == {"consume", "describe", "observe"}
    assert allowed("alice") == {"describe", "observe", "replicate"}


@pytest.mark.parametrize(("subject", "code"), [("root", 0), ("mallory", 1)])
def test_acl_answers_for_a_subject(tmp_path: Path, subject: str, code: int) -> None:
    proglog(tmp_path, "certs", "c")

    answer = proglog(
        tmp_path, "acl", subject, "produce", "--acl-model-file", "c/model.conf", "--acl-policy-file", "c/policy.csv"
    )

    assert answer.returncode == code
    assert subject in answer.stdout


def test_acl_says_which_line_of_a_policy_is_wrong(tmp_path: Path) -> None:
    proglog(tmp_path, "certs", "c")
    (tmp_path / "c/policy.csv").write_text("p, root, *, produce\np, root\n")

    answer = proglog(tmp_path, "acl", "--acl-model-file", "c/model.conf", "--acl-policy-file", "c/policy.csv")

    assert answer.returncode == 2
    assert "line 2" in answer.stderr


def test_config_says_where_each_value_comes_from_and_is_its_own_input(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('node-name = "a"\nsegment-bytes = 65536\n')

    shown = proglog(tmp_path, "config", "--config", "a.toml", "--fsync", "os", PROGLOG_RPC_PORT="9000")
    (tmp_path / "b.toml").write_text(shown.stdout)
    again = proglog(tmp_path, "config", "--config", "b.toml")

    assert shown.returncode == 0, shown.stderr
    assert 'node-name = "a"  # a.toml' in shown.stdout
    assert 'fsync = "os"  # flag' in shown.stdout
    assert "rpc-port = 9000  # PROGLOG_RPC_PORT" in shown.stdout
    assert tomllib.loads(again.stdout) == tomllib.loads(shown.stdout)


def test_config_refuses_what_serve_would_refuse(tmp_path: Path) -> None:
    refused = proglog(tmp_path, "config", "--bind-addr", "0.0.0.0:8401")

    assert refused.returncode == 2
    assert "there is no TLS" in refused.stderr


def test_bench_measures_agents_of_its_own_and_leaves_none(tmp_path: Path) -> None:
    measured = proglog(
        tmp_path, "bench", "all", "--records", "2000", "--nodes", "2", "-o", "json", TMPDIR=str(tmp_path)
    )

    assert measured.returncode == 0, measured.stderr
    result = json.loads(measured.stdout)
    figures = {(row["name"].partition(" ")[0], row["loop"]): row for row in result["figures"]}
    assert figures.keys() == {
        ("single", "closed"), ("produce", "closed"), ("replicate", "closed"), ("consume", "closed"),
        ("produce", "open"), ("e2e", "open"),
    }  # fmt: skip
    assert all(row["records_per_s"] > 0 for row in figures.values())
    late = figures["e2e", "open"]["latency"]
    assert 0 <= late["p50_ms"] <= late["p99_ms"] <= late["p999_ms"] <= late["max_ms"]
    assert result["machine"]["cpus"] >= 1
    assert list(tmp_path.iterdir()) == []


def test_bench_writes_to_a_running_agent_only_when_told_so(tmp_path: Path) -> None:
    refused = proglog(tmp_path, "bench", "--addr", "127.0.0.1:1")

    assert refused.returncode == 2
    assert "--yes" in refused.stderr


@pytest.mark.parametrize("place", ["flag", "environment", "TOML", "TOML number"])
def test_a_retention_age_without_a_unit_is_refused_wherever_it_is_given(tmp_path: Path, place: str) -> None:
    quote = "" if place == "TOML number" else '"'
    (tmp_path / "a.toml").write_text(f"retention-age = {quote}7{quote}\n")
    arguments = {"flag": ("--retention-age", "7"), "environment": ()}.get(place, ("--config", "a.toml"))
    variables = {"PROGLOG_RETENTION_AGE": "7"} if place == "environment" else {}

    refused = proglog(tmp_path, "serve", "--data-dir", "data", *arguments, **variables)

    assert refused.returncode == 2
    assert "--retention-age '7': a duration needs a unit: 7s is seconds, 7d is days" in refused.stderr
    assert not (tmp_path / "data").exists()


def test_certs_renews_when_asked_and_gives_a_server_a_name_that_it_lacks(tmp_path: Path) -> None:
    directory = tmp_path / "certs"

    def server() -> bytes:
        return (directory / "server.pem").read_bytes()

    proglog(tmp_path, "certs", "certs")
    first = server()
    proglog(tmp_path, "certs", "certs", "--host", "log-1.example")
    named = server()
    proglog(tmp_path, "certs", "certs", "--host", "log-2.example")
    assert len({first, named, server()}) == 3
    assert {"log-1.example", "log-2.example", "localhost"} <= set(certificate_summary(server()).names)

    peer = (directory / "peer.pem").read_bytes()
    proglog(tmp_path, "certs", "certs")
    assert (directory / "peer.pem").read_bytes() == peer
    proglog(tmp_path, "certs", "certs", "--renew")
    assert (directory / "peer.pem").read_bytes() != peer


def test_a_client_may_be_given_nothing_and_no_word_that_is_no_action(tmp_path: Path) -> None:
    proglog(tmp_path, "certs", "c", "--client", "nobody=")
    assert "nobody" not in (tmp_path / "c/policy.csv").read_text()

    refused = proglog(tmp_path, "certs", "d", "--client", "eve=prodcue")
    assert refused.returncode == 2
    assert "'prodcue' is no action" in refused.stderr
