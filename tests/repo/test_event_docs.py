"""The page of events and metrics is what the tables say."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_of_events_and_metrics_is_current() -> None:
    spec = importlib.util.spec_from_file_location("gen_event_docs", ROOT / "tools" / "gen_event_docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    assert (ROOT / "docs/reference/events.md").read_text() == module.page(), "run `make docs`"
