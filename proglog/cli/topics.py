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
  @2026-01-02T03:04:05Z   an absolute time; a blank may stand for the T
  @14:13                  the most recent 14:13
  @2h:@1h                 the hour before the last one
  unread:NAME             what the consumer NAME has not read yet; looking does not move it
  cursor:TOKEN            what a consumer has not read yet, on any node: from --print-cursor

Times are local unless a Z or an offset is written, and UTC with --utc. consume, segments, verify, copies and positions
take a RANGE; --dry-run prints what it resolves to.

An offset is valid only on the node that assigned it. To move between nodes, use a cursor or a name (--as NAME).

  proglog consume 10:15
  proglog consume -- -3
  proglog consume @1h --follow
""",
    ),
    "formats": (
        "what stdout looks like",
        """\
Every verb takes -o:

  table   for people: columns, words, colours on a terminal (NO_COLOR turns them off)
  json    one document
  jsonl   a line of JSON per item; with --watch, per change
  plain   bare values between tabs: no headings, units, glyphs or grouping; nothing for null

Keys are stable, and null is unknown. Names that end in _at are instants in UTC, _ms are durations. Each document says
its schema: docs/reference/json.md and docs/reference/schemas/ have them all.

consume without -o writes values byte for byte, each followed by a line feed; --format null ends each with a NUL.
consume -o jsonl writes whole records, and produce --format jsonl reads them back. On a terminal, control characters are
escaped; --raw sends them as they are.
""",
    ),
    "templates": (
        "how consume --format writes a record",
        """\
A template has fields in braces, each with how to write it. A line feed follows each record.

  {value} {key} {offset} {sequence} {origin} {headers} {header.NAME}
  {value_bytes} {timestamp} {timestamp_ms}
  {value:hex}  {key:base64}  {value:json}     bytes, encoded
  {key:<12}  {offset:>8}  {value:hex,<40}     at so many cells, padded and cut
  {timestamp:utc}  {timestamp:ms}  {timestamp:s}  {timestamp:%H:%M:%S}
  \\n  \\t  \\0  \\\\                              a line feed, a tab, a NUL, a backslash

Times are local, and UTC with --utc.

  proglog consume --format '{offset:>8}  {timestamp:%H:%M:%S}  {key:<12} {value}'
  proglog consume --format '{value:hex}' 5:10
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
