"""A real Prometheus scrapes three agents under the rules of deploy/, and says which one was killed."""

import json
import re
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from proglog.testing.cluster import LocalCluster
from proglog.testing.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
RULES, CONFIG = (ROOT / "deploy/prometheus" / name for name in ("rules.yml", "prometheus.yml"))
PROMETHEUS = shutil.which("prometheus", path=f"{ROOT / '.tools/prometheus/usr/bin'}:/usr/bin:/usr/local/bin")
Eventually = Callable[..., None]


@contextmanager
def prometheus(directory: Path, targets: list[str]) -> Iterator[str]:
    """Run one with the configuration of deploy/, a hundred times as fast; yield its URL."""
    directory.mkdir()
    config, replaced = re.subn(r"targets: \[.*\]", f"targets: {json.dumps(targets)}", CONFIG.read_text())
    assert replaced == 1
    config = re.sub(r"(scrape|evaluation)_interval: \w+", r"\1_interval: 250ms", config)
    (directory / CONFIG.name).write_text(config)
    (directory / RULES.name).write_text(re.sub(r"for: \w+", "for: 500ms", RULES.read_text()))
    addr = f"127.0.0.1:{free_port()}"
    flags = ("--web.listen-address", addr, "--config.file", CONFIG.name, "--storage.tsdb.path", "tsdb")
    assert PROMETHEUS is not None
    with (directory / "log").open("w") as log, subprocess.Popen([PROMETHEUS, *flags], cwd=directory, stderr=log) as run:
        try:
            yield f"http://{addr}"
        finally:
            run.kill()


def asked(url: str, path: str, **query: str) -> Any:
    """Return what Prometheus answers; nothing while it starts."""
    try:
        with urllib.request.urlopen(f"{url}/api/v1/{path}?{urllib.parse.urlencode(query)}", timeout=5) as answer:
            return json.load(answer)["data"]
    except OSError:
        return {}


def values(url: str, query: str) -> dict[str, float]:
    """Return the value of a query for each agent."""
    found = asked(url, "query", query=query).get("result", ())
    return {each["metric"]["instance"]: float(each["value"][1]) for each in found}


def firing(url: str) -> set[tuple[str, str]]:
    alerts = asked(url, "alerts").get("alerts", ())
    return {(each["labels"]["alertname"], each["labels"]["instance"]) for each in alerts if each["state"] == "firing"}


@pytest.mark.skipif(PROMETHEUS is None, reason="no Prometheus is installed: see tools/test-tools.sh")
def test_a_prometheus_that_scrapes_three_agents_says_which_one_was_killed(
    tmp_path: Path, eventually_sync: Eventually
) -> None:
    cluster = LocalCluster(tmp_path, "abc")
    addrs = {}
    for agent in cluster:
        addrs[agent.name] = f"127.0.0.1:{free_port()}"
        agent.flags = {"metrics-addr": addrs[agent.name]}
    with cluster, prometheus(tmp_path / "prometheus", list(addrs.values())) as url:
        everybody = dict.fromkeys(addrs.values(), 1.0)
        eventually_sync(lambda: values(url, 'up{job="proglog"}') == everybody, timeout=30)
        alive = 'max by (instance) (proglog_members{status="alive"})'
        eventually_sync(lambda: values(url, alive) == dict.fromkeys(addrs.values(), 3.0), timeout=30)
        assert ("ProglogAgentDown", addrs["b"]) not in firing(url)

        cluster["b"].kill()
        eventually_sync(lambda: ("ProglogAgentDown", addrs["b"]) in firing(url), timeout=30)

        down = {instance for alert, instance in firing(url) if alert == "ProglogAgentDown"}
        assert down == {addrs["b"]}
        left = {addrs["a"], addrs["c"]}
        eventually_sync(lambda: values(url, 'proglog_members{status="failed"} > 0').keys() == left, timeout=30)
