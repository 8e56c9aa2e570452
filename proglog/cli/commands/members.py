"""List the members of the cluster, as one agent sees them."""

from proglog.cli import options, output, tables
from proglog.cli.show import At, Replay, show
from proglog.client import DEFAULT_ADDR, DEFAULT_TIMEOUT


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
    tls = options.tls_files(tls_ca_file, tls_cert_file, tls_key_file)
    show(
        addr,
        tls,
        timeout,
        lambda snapshot: output.rows(tables.members(snapshot), tables.MEMBERS, output_, empty="no members"),
        watch=watch,
        replay=replay,
        at=at,
    )
