"""The topics of ``proglog help TOPIC``: what verbs share and their own help has no room for."""

from proglog.cli.exit_codes import MEANINGS

TOPICS: dict[str, tuple[str, str]] = {
    "ranges": (
        "which records: offsets, times, cursors",
        """\
RANGE selects records. Offset ranges are half-open: 5:10 holds 5, 6, 7, 8 and 9.

  start  end  47          the oldest record; after the newest; an offset
  +2  -3                  two after the start; the last three
  5:10  5:  :end          between two offsets; from one on; up to the end
  @1h  @90s               by append time: an hour ago
  @2026-01-02T03:04:05Z   an absolute time; in your time zone (TZ) unless it names one
  @14:13                  the most recent 14:13, in your time zone
  @2h:@1h                 the hour before the last one
  cursor:TOKEN            what a consumer has not read yet, on any node: from --print-cursor

An offset is valid only on the node that assigned it. To move between nodes, use a cursor or a name (--as NAME).

  proglog consume 10:15
  proglog consume -- -3
  proglog consume @1h --follow
""",
    ),
    "formats": (
        "what stdout looks like",
        """\
Verbs that list something (members, status, lag, segments, positions, ...) take -o:

  table   for people: columns, words, colours on a terminal (NO_COLOR turns them off)
  json    one document
  jsonl   one JSON object per line; with --watch, again at each change
  plain   the table's cells separated by tabs, without headings

consume writes values byte for byte, each followed by a line feed. --format null ends each with a NUL, json writes one
object per line (produce --format json reads it back), and anything else is a template:

  proglog consume --format '{offset} {origin} {sequence} {key} {value}'
  proglog consume --format '{timestamp} {value}\\n'

On a terminal, control characters are escaped; --raw sends them as they are.
""",
    ),
    "environment": (
        "variables, files, and their precedence",
        """\
Every flag has a variable: --node-name is PROGLOG_NODE_NAME, --tls-ca-file is PROGLOG_TLS_CA_FILE. A PROGLOG_
variable that sets no flag is reported.

Precedence for serve: the flag, its variable, the file of --config, the default. `proglog config` shows where each value
comes from. For client verbs: the flag, its variable, the profile of --profile or PROGLOG_PROFILE, a .proglog.toml here
or above, the current profile, the default. `proglog profile` lists the profiles.

  PROGLOG_ADDR      agents for client verbs, separated by commas
  PROGLOG_TIMEOUT   seconds to wait for an answer
  NO_COLOR          no colours
  COLUMNS           the width of tables and help

`proglog --version` prints where data, configuration and crash reports are.
""",
    ),
    "exit-codes": (
        "what each exit code means",
        "".join(f"  {code.value:<4} {meaning}\n" for code, meaning in MEANINGS.items()),
    ),
    "consumers": (
        "cursors, names, and exactly-once reading",
        """\
consume ends at the end of the log, or waits for more with --follow.

  proglog consume --follow                    from now on, on this node
  proglog consume --as nightly                resume where `nightly` stopped, on any node; commit along the way
  proglog consume --print-cursor              print the cursor to resume from; pass it as the next RANGE
  proglog consume --addr a:8400,b:8400        fail over without missing or repeating a record

A run of --as that ends in order (also by Ctrl-C or SIGTERM) repeats nothing. A killed run repeats what came after its
last commit. `proglog positions` lists the names and how far behind each is.
""",
    ),
}
"""Topic to its line in the list, and its text."""
