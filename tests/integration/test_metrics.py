"""A real agent, scraped as Prometheus would."""

import re
from pathlib import Path
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from proglog import __version__
from proglog.client import connect
from proglog.telemetry.metric_names import METRICS
from proglog.testing.processes import AgentProcess


async def test_an_agent_exposes_every_metric_that_it_declares(tmp_path: Path) -> None:
    first = AgentProcess("a", tmp_path, flags={"metrics-addr": "127.0.0.1:0"})
    first.start()
    second = AgentProcess("b", tmp_path, seeds=(first.gossip_addr,))
    second.start()
    try:
        async with connect(first.rpc_addr) as client:
            await client.status()
            async with client.producer() as producer:
                await producer.send_values([b"x"] * 5)
            async for snapshot in client.watch():
                if [each.records for each in snapshot.copies.counts if each.copies == 2] == [5]:
                    break
        found = re.search(r"metrics\W+(127\.0\.0\.1:\d+)", first.telemetry.read_text())
        assert found is not None
        with urlopen(f"http://{found[1]}/metrics", timeout=5) as answer:
            families = {family.name: family for family in text_string_to_metric_families(answer.read().decode())}
    finally:
        second.kill()
        first.kill()

    # The parser leaves the suffix of counters out.
    expected = {name.removesuffix("_total") for name in METRICS} - {"proglog_certificate_expiry_timestamp_seconds"}
    assert expected <= families.keys()
    copies = {sample.labels["copies"]: sample.value for sample in families["proglog_copies_records"].samples}
    assert copies == {"2": 5}
    alive = [sample.value for sample in families["proglog_members"].samples if sample.labels == {"status": "alive"}]
    assert alive == [2]
    assert families["proglog_replication_streaming"].samples[0].labels == {"peer": "b"}
    assert families["proglog_log_writable"].samples[0].value == 1
    calls = {sample.labels["method"]: sample.value for sample in families["proglog_rpc_sent_bytes"].samples}
    assert calls["/proglog.v1.Cluster/GetStatus"] > 100
    open_ = {sample.labels["action"]: sample.value for sample in families["proglog_rpcs_open"].samples}
    assert open_["replicate"] >= 1
    assert families["proglog_connections"].samples[0].value >= 1
    synced = {sample.name: sample.value for sample in families["proglog_fsync_seconds"].samples if not sample.labels}
    assert synced["proglog_fsync_seconds_count"] >= 1
    assert synced["proglog_fsync_seconds_sum"] > 0
    (build,) = families["proglog_build_info"].samples
    assert (build.labels["version"], build.value) == (__version__, 1)
    assert {"process_resident_memory_bytes", "python_info", "python_gc_collections"} <= families.keys()
