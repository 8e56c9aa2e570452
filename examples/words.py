"""A script without async: writes its arguments into the log, then counts the words in all of it."""

import sys
from collections import Counter

from proglog.client import ProglogError, Record
from proglog.client.sync import connect

words: Counter[str] = Counter()
try:
    with connect(timeout=5) as client:
        with client.producer() as producer:
            for text in sys.argv[1:]:
                producer.send(Record(value=text.encode()))
        for batch in client.consume():
            for value in batch.values():
                words.update(value.decode(errors="replace").split())
except ProglogError as exc:
    sys.exit(f"error: {exc}{'; try again' if exc.retriable else ''}")
for word, count in words.most_common(5):
    print(f"{count:6} {word}")
