"""The vectors are what the code makes, what the pages say of them is so, and a reader that shares no code agrees."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

from proglog.client.cursor import Cursor
from proglog.errors import InvalidRequestError
from proglog.log.index import SegmentIndex
from proglog.record.crc import crc
from proglog.types import Offset
from proglog.wire.status import TABLE
from tests.storage import reader

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
VECTORS = json.loads((ROOT / "testdata/vectors.json").read_text())
WIRE = (DOCS / "concepts/wire.md").read_text()
FORMATS = (DOCS / "concepts/formats.md").read_text()


def test_the_vectors_are_current() -> None:
    spec = importlib.util.spec_from_file_location("gen_vectors", ROOT / "tools" / "gen_vectors.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    assert (ROOT / "testdata/vectors.json").read_text() == module.text(), "run `make docs`"


def test_a_reader_that_was_written_from_the_page_agrees_with_checksums_marks_and_chains() -> None:
    for each in VECTORS["crc32c"]:
        assert reader.crc32c(bytes.fromhex(each["data"])) == each["crc"]
    stored, chain = VECTORS["stored"], None
    for each in stored["batches"]:
        data, header = bytes.fromhex(each["bytes"]), each["header"]
        assert data[:4] == reader.mark(bytes.fromhex(stored["log"]), stored["segment"], each["position"])
        assert reader.crc32c(data[8:128]) == header["header_crc"]
        assert reader.crc32c(data[36:128], reader.crc32c(data[128:])) == header["portable_crc"]
        before = reader.crc32c(bytes.fromhex(header["origin"])) if chain is None else chain
        link = data[36:76] + bytes(4) + data[80:128] + reader.crc32c(data[128:]).to_bytes(4, "little")
        if each["name"] != "gap":
            assert reader.crc32c(link, before) == header["chain_crc"]
        chain = header["chain_crc"]
        if "records" in each:
            assert reader.values(data[128:]) == [bytes.fromhex(record["value"]) for record in each["records"]]


def test_the_index_is_of_that_segment_and_as_long_as_the_page_says() -> None:
    said, stored = VECTORS["index"], VECTORS["stored"]
    data = bytes.fromhex(said["bytes"])
    index = SegmentIndex.decode(data, Offset(stored["segment"]), 4096, None, crc(bytes.fromhex(stored["log"])))

    assert index.summary._asdict() == {name: said[name] for name in index.summary._fields}
    assert len(said["entries"]) > 1
    assert len(data) == 88 + 53 + len("a") + 36 * len(said["entries"])
    assert "a head of 88 bytes" in FORMATS


def test_small_files_are_read_by_the_page_and_bad_ones_are_not_and_the_page_shows_their_keys() -> None:
    files = {each["name"]: reader.small_file(each["text"].encode()) for each in VECTORS["small_files"]}
    assert {*files} == {
        "identity", "origin", "durable", "retired", "lost", "lost.copy", "derived", "members", "conditions"
    }  # fmt: skip
    for each in VECTORS["bad_small_files"]:
        if each["why"] != "a later version":
            with pytest.raises((AssertionError, ValueError)):
                reader.small_file(each["text"].encode())
    shown = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", FORMATS, re.DOTALL)]
    assert [{*each} for each in shown] == [{*files["derived"]}, {*files["lost"]}]
    assert [len(each) for each in shown[0]["positions"]] == [len(each) for each in files["derived"]["positions"]]  # type: ignore[attr-defined]
    assert shown[0]["version"] == files["derived"]["version"]


def test_tokens_are_read_and_bad_ones_refused() -> None:
    for each in VECTORS["cursors"]:
        assert Cursor.parse(each["token"]).token() == each["token"]
    for each in VECTORS["bad_cursors"]:
        with pytest.raises(InvalidRequestError):
            Cursor.parse(each["token"])


def test_every_token_and_checksum_on_a_page_is_right() -> None:
    tokens = {
        token for page in DOCS.rglob("*.md") for token in re.findall(r"(?:cursor:|`)(A[\w-]{20,})\b", page.read_text())
    }
    assert tokens
    for token in tokens:
        Cursor.parse(token)
    assert f"that of `123456789` is `{crc(b'123456789'):#x}`" in WIRE


def test_the_page_names_no_reason_that_there_is_not() -> None:
    named = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+|[A-Z]{5,})`", WIRE))

    assert named - {row.reason for row in TABLE} == {"OUT_OF_RANGE"}  # a code
