"""A job whose position lives in the cluster: ``nightly_job.py NAME FILE`` appends the values that NAME has not had to FILE.

At least once: a job that is killed repeats what came after its last commit; one that ends in order, also by SIGTERM,
repeats nothing. With ``--follow`` it waits for more.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from proglog.client import connect


async def main(name: str, path: Path, *, follow: bool) -> None:
    """Append what is new."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    written = 0
    with path.open("ab") as out:
        async with connect(timeout=30) as client, client.named(name, follow=follow, interval=0.5) as job:
            while not stop.is_set() and not job.ended:
                batch = await job.get(timeout=0.5)  # says that the batch before is dealt with
                if batch is None:
                    continue
                out.writelines(value + b"\n" for value in batch.values())
                out.flush()
                os.fsync(out.fileno())
                written += batch.count
    print(f"{written} records", flush=True)


arguments = [argument for argument in sys.argv[1:] if argument != "--follow"]
asyncio.run(main(arguments[0], Path(arguments[1]), follow="--follow" in sys.argv))
