"""A job that puts every record into SQLite exactly once, however often it is killed: ``job_into_sqlite.py FILE``.

The cursor is kept in the database itself, and moves in the transaction that stores the records: either both are there after
a crash, or neither. Ends at the end of the log; run it again for what came since.
"""

import asyncio
import sqlite3
import sys

from proglog.client import Cursor, connect

SCHEMA = """
    CREATE TABLE IF NOT EXISTS records (origin BLOB, sequence INTEGER, value BLOB, PRIMARY KEY (origin, sequence));
    CREATE TABLE IF NOT EXISTS cursor (id INTEGER PRIMARY KEY CHECK (id = 0), token TEXT NOT NULL);
"""


async def main(path: str) -> None:
    """Read everything that the database has not, batch by batch."""
    database = sqlite3.connect(path, isolation_level=None)
    database.executescript(SCHEMA)
    row = database.execute("SELECT token FROM cursor").fetchone()
    start = Cursor.parse(row[0]) if row else None
    async with connect(timeout=30) as client, client.consume(start) as consumer:
        async for batch in consumer:
            database.execute("BEGIN IMMEDIATE")
            database.executemany(
                "INSERT INTO records VALUES (?, ?, ?)",
                [(record.origin, record.sequence, record.value) for record in batch.records()],
            )
            database.execute("INSERT OR REPLACE INTO cursor VALUES (0, ?)", (batch.cursor.token(),))
            database.execute("COMMIT")
    (count,) = database.execute("SELECT count(*) FROM records").fetchone()
    database.close()
    print(f"{count} records", flush=True)


asyncio.run(main(sys.argv[1]))
