"""List the named positions of consumers (consume --as NAME): how many records each is behind, and since when."""

from typing import TYPE_CHECKING, Annotated

import typer

from proglog import clock
from proglog.cli import options, output
from proglog.cli.output import Column, Row
from proglog.client import DEFAULT_ADDR, DEFAULT_TIMEOUT

if TYPE_CHECKING:
    from proglog.client import Client
    from proglog.client.named import NamedPosition

COLUMNS = (
    Column("name", "NAME", max_cells=60),
    Column("behind", "RECORDS BEHIND", right=True),
    Column("committed", "LAST COMMIT", right=True),
    Column("epoch", "EPOCH", right=True, drop=2),
    Column("cursor", "CURSOR", drop=1, max_cells=60),
)


def main(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="Only this one")] = "",
    output_: options.Output = output.Format.TABLE,
    addr: options.Addr = DEFAULT_ADDR,
    tls_ca_file: options.TLSCa = None,
    tls_cert_file: options.TLSCert = None,
    tls_key_file: options.TLSKey = None,
    timeout: options.Timeout = DEFAULT_TIMEOUT,
) -> None:
    async def show(client: "Client") -> None:
        rows = [_row(position) for position in await client.positions(name)]
        output.rows(rows, COLUMNS, output_, empty="no named positions: `proglog consume --as NAME` makes one")

    options.with_client(addr, options.tls_files(tls_ca_file, tls_cert_file, tls_key_file), timeout, show)


def _row(position: "NamedPosition") -> Row:
    from proglog.observe.words import age_words, count_words

    cells = {
        "name": position.name,
        "behind": count_words(position.records_behind),
        "committed": age_words(position.committed_at_ms, clock.now_ms()),
        "epoch": str(position.epoch),
        "cursor": position.cursor.token(),
    }
    facts = {
        "name": position.name,
        "records_behind": position.records_behind,
        "committed_at_ms": position.committed_at_ms,
        "epoch": position.epoch,
        "cursor": position.cursor.token(),
        "origins": {origin.hex(): sequence for origin, sequence in position.cursor.positions.items()},
    }
    return Row(cells, facts)
