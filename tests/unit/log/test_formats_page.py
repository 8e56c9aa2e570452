"""The page on formats knows every file that a data directory has, and every kind of control batch."""

from pathlib import Path

from proglog.record.columns_pb2 import Control
from proglog.testing.files import FaultyFiles
from tests.unit.log.kit import append, open_log

PAGE = (Path(__file__).parents[3] / "docs" / "concepts" / "formats.md").read_text()


def test_every_file_of_a_data_directory_is_in_the_table() -> None:
    files = FaultyFiles()
    log = open_log(files=files)
    append(log, b"a")
    log.close()
    for path in files.paths():
        assert f"| `{path.name}` |" in PAGE, path.name


def test_every_kind_of_control_batch_is_reported() -> None:
    words = {"origin_start": "first batch of every origin", "gap": "**gap**", "position_commit": "**position commit**"}
    assert set(words) == {each.name for each in Control.DESCRIPTOR.fields}
    for word in words.values():
        assert word in " ".join(PAGE.split())
