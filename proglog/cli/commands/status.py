"""Show one agent: its log, what it has of whose records, and how replication goes."""

import json

from proglog.cli import options, output, tables
from proglog.cli.show import At, Replay, show
from proglog.client import DEFAULT_ADDR, DEFAULT_TIMEOUT
from proglog.wire.model import ClusterSnapshot


def main(
    output_: options.Output = output.Format.TABLE,
    watch: options.Watch = False,
    replay: Replay = None,
    at: At = None,
    addr: options.Addr = DEFAULT_ADDR,
    tls_ca_file: options.TLSCa = None,
    tls_cert_file: options.TLSCert = None,
    tls_key_file: options.TLSKey = None,
    timeout: options.Timeout = DEFAULT_TIMEOUT,
) -> None:
    def write(snapshot: ClusterSnapshot) -> None:
        if output_ in (output.Format.JSON, output.Format.JSONL):
            indent = 2 if output_ is output.Format.JSON else None
            output.line(json.dumps(tables.status_data(snapshot), indent=indent))
        else:
            output.rows(tables.status(snapshot), tables.STATUS, output_)

    tls = options.tls_files(tls_ca_file, tls_cert_file, tls_key_file)
    show(addr, tls, timeout, write, watch=watch, replay=replay, at=at)
