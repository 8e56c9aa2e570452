"""What deploy/ ships names flags, variables, ports and metrics that there are; systemd accepts the unit."""

import copy
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastjsonschema  # type: ignore[import-untyped]
import pytest
import yaml

from proglog.cli import variables
from proglog.telemetry.metric_names import METRICS, MetricKind

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
KUBERNETES = [each for each in yaml.safe_load_all((DEPLOY / "kubernetes/proglog.yaml").read_text()) if each]
COMPOSE = yaml.safe_load((DEPLOY / "container/compose.yaml").read_text())
RULES = yaml.safe_load((DEPLOY / "prometheus/rules.yml").read_text())
DASHBOARD = json.loads((DEPLOY / "grafana/proglog.json").read_text())
TOOLS = DEPLOY.parent / ".tools"
PROMTOOL = shutil.which("promtool", path=f"{TOOLS / 'prometheus/usr/bin'}:/usr/bin:/usr/local/bin")
KUBERNETES_RELEASES = sorted((TOOLS / "kubernetes").glob("kubernetes_validate/kubernetes-json-schema/v*-strict"))
UNIT = DEPLOY / "systemd/proglog.service"
CALL_PORT, GOSSIP_PORT, METRICS_PORT = 8400, 8401, 9464


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [each for each in KUBERNETES if each["kind"] == kind]


def container() -> dict[str, Any]:
    (stateful,) = of_kind("StatefulSet")
    (only,) = stateful["spec"]["template"]["spec"]["containers"]
    assert isinstance(only, dict)
    return only


def test_every_variable_sets_a_flag() -> None:
    named = {
        name
        for path in DEPLOY.rglob("*")
        if path.is_file()
        for name in re.findall(r"PROGLOG_[A-Z_]+", path.read_text())
    }

    assert {"PROGLOG_DATA_DIR", "PROGLOG_START_JOIN_ADDRS"} <= named
    assert list(variables.strangers(dict.fromkeys(named, "x"))) == []


def expressions() -> Iterator[tuple[str, str]]:
    for group in RULES["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


@pytest.mark.parametrize(("where", "expression"), list(expressions()))
def test_every_metric_and_label_of_rules_and_dashboard_is_exposed(where: str, expression: str) -> None:
    for name, selector in re.findall(r"\b(proglog_\w+)(?:\{([^}]*)\})?", expression):
        known = METRICS.get(name) or METRICS.get(name.removesuffix("_bucket"))
        assert known is not None, f"{where}: no metric is called {name}"
        assert name == known.name or known.kind is MetricKind.HISTOGRAM
        labels = set(re.findall(r"(\w+)[=!]", selector))
        assert labels <= {*known.labels, "instance", "job"}, where
    counters = re.findall(r"\bproglog_\w+_total\b", expression)
    assert all(re.search(rf"rate\({name}", expression) for name in counters), (
        f"{where}: a counter is looked at by its rate"
    )
    by = {label for listed in re.findall(r"by \(([^)]*)\)", expression) for label in re.split(r",\s*", listed)}
    exposed = {label for each in METRICS.values() for label in each.labels}
    assert by <= exposed | {"instance", "le"}, where


def test_every_alert_says_what_it_is_about_and_how_urgent() -> None:
    for group in RULES["groups"]:
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in ("warning", "critical"), rule["alert"]
            assert rule["annotations"]["summary"]
            for label in re.findall(r"\$labels\.(\w+)", str(rule["annotations"])):
                assert label == "instance" or label in rule["expr"] or label in _labels_of(rule["expr"]), rule["alert"]


def _labels_of(expression: str) -> set[str]:
    return {
        label for name in re.findall(r"proglog_\w+", expression) for label in getattr(METRICS.get(name), "labels", ())
    }


def test_services_policies_and_probes_use_the_ports_that_the_agent_listens_on() -> None:
    ports = {(each["containerPort"], each.get("protocol", "TCP")) for each in container()["ports"]}
    names = {each["name"] for each in container()["ports"]}

    assert ports == {(CALL_PORT, "TCP"), (GOSSIP_PORT, "TCP"), (GOSSIP_PORT, "UDP"), (METRICS_PORT, "TCP")}
    for service in of_kind("Service"):
        assert {(each["port"], each.get("protocol", "TCP")) for each in service["spec"]["ports"]} <= ports
    (policy,) = of_kind("NetworkPolicy")
    allowed = {(port["port"], port["protocol"]) for rule in policy["spec"]["ingress"] for port in rule["ports"]}
    assert allowed == ports
    for probe in ("startupProbe", "livenessProbe"):
        assert container()[probe]["tcpSocket"]["port"] in names
    values = {each["name"]: each.get("value", "") for each in container()["env"]}
    assert values["PROGLOG_BIND_ADDR"].endswith(f":{GOSSIP_PORT}")
    assert values["PROGLOG_METRICS_ADDR"].endswith(f":{METRICS_PORT}")


def test_the_objects_of_the_cluster_select_each_other() -> None:
    (stateful,) = of_kind("StatefulSet")
    template = stateful["spec"]["template"]
    labels = template["metadata"]["labels"]
    selectors = [
        stateful["spec"]["selector"]["matchLabels"],
        *(each["spec"]["selector"] for each in of_kind("Service")),
        *(each["spec"]["selector"]["matchLabels"] for each in of_kind("PodDisruptionBudget")),
        *(each["spec"]["podSelector"]["matchLabels"] for each in of_kind("NetworkPolicy")),
    ]

    assert all(selector.items() <= labels.items() for selector in selectors)
    assert stateful["spec"]["serviceName"] in {each["metadata"]["name"] for each in of_kind("Service")}
    mounted = {each["name"] for each in container()["volumeMounts"]}
    claims = {each["metadata"]["name"] for each in stateful["spec"]["volumeClaimTemplates"]}
    assert mounted == claims | {each["name"] for each in template["spec"]["volumes"]}
    seeds = next(each["value"] for each in container()["env"] if each["name"] == "PROGLOG_START_JOIN_ADDRS").split(",")
    assert len(seeds) == stateful["spec"]["replicas"]


def test_containers_have_no_rights_that_they_do_not_need() -> None:
    security = container()["securityContext"]
    assert (security["readOnlyRootFilesystem"], security["allowPrivilegeEscalation"]) == (True, False)
    assert security["capabilities"] == {"drop": ["ALL"]}
    for service in COMPOSE["services"].values():
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    dockerfile = (DEPLOY / "container/Dockerfile").read_text()
    assert re.search(r"^USER \d+:\d+$", dockerfile, re.MULTILINE)
    assert "--require-hashes" in dockerfile
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.MULTILINE)
    assert all((DEPLOY.parent / name).exists() for line in copied for name in line.split())


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd-analyze here")
def test_systemd_accepts_the_unit_and_finds_it_hardened(tmp_path: Path) -> None:
    program = tmp_path / "proglog"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / UNIT.name
    unit.write_text(re.sub(r"^ExecStart=\S+", f"ExecStart={program}", UNIT.read_text(), flags=re.MULTILINE))

    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, timeout=60, check=False
    )
    judged = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", str(unit)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (checked.returncode, checked.stderr) == (0, "")
    level = re.search(r"Overall exposure level for \S+: ([\d.]+)", judged.stdout)
    assert level is not None, judged.stderr
    assert float(level[1]) < 2.0


@pytest.mark.skipif(PROMTOOL is None, reason="no Prometheus is installed: see tools/test-tools.sh")
@pytest.mark.parametrize(
    "arguments",
    [("check", "config", "prometheus.yml"), ("check", "rules", "rules.yml"), ("test", "rules", "rules.test.yml")],
)
def test_prometheus_accepts_the_rules_and_each_fires_for_what_it_says(arguments: tuple[str, ...]) -> None:
    assert PROMTOOL is not None
    done = subprocess.run(
        [PROMTOOL, *arguments], cwd=DEPLOY / "prometheus", capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(not KUBERNETES_RELEASES, reason="no schemas of Kubernetes are here: see tools/test-tools.sh")
@pytest.mark.parametrize("release", [KUBERNETES_RELEASES[:1], KUBERNETES_RELEASES[-1:]], ids=["oldest", "newest"])
def test_kubernetes_has_every_field_of_the_manifests(release: list[Path]) -> None:
    definitions = json.loads((release[0] / "_definitions.json").read_text())["$defs"]
    checks = {}
    for each in KUBERNETES:
        group, _, version = each["apiVersion"].rpartition("/")
        name = "-".join(filter(None, (each["kind"].lower(), group.partition(".")[0], version)))
        text = (release[0] / f"{name}.json").read_text().replace("/api/_definitions.json#", "#")
        schema = {**json.loads(text), "$id": "about:here"}  # nothing is looked up on the network
        checks[each["kind"]] = fastjsonschema.compile(
            {"$defs": _reached(schema, definitions), **schema}, use_default=False
        )
        checks[each["kind"]](each)
    (stateful,) = of_kind("StatefulSet")
    wrong = copy.deepcopy(stateful)
    wrong["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(fastjsonschema.JsonSchemaValueException, match="readynessProbe"):
        checks["StatefulSet"](wrong)


def _reached(schema: object, definitions: dict[str, object]) -> dict[str, object]:
    """Return the definitions that a schema refers to: compiling all takes ten times as long."""
    reached, waiting = dict[str, object](), [schema]
    while waiting:
        for name in re.findall(r"#/\$defs/([\w.-]+)", json.dumps(waiting.pop())):
            if name not in reached:
                reached[name] = definitions[name]
                waiting.append(definitions[name])
    return reached


def test_secrets_are_mounted_for_the_agents_group_alone() -> None:
    (stateful,) = of_kind("StatefulSet")
    pod = stateful["spec"]["template"]["spec"]
    modes = {each["name"]: each["secret"]["defaultMode"] for each in pod["volumes"] if "secret" in each}
    assert modes == dict.fromkeys(("tls", "gossip"), 0o440)
    assert (pod["securityContext"]["fsGroup"], pod["securityContext"]["runAsNonRoot"]) == (10001, True)
