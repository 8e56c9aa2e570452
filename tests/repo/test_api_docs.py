"""The API reference is what the protos say."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_api_reference_is_current() -> None:
    spec = importlib.util.spec_from_file_location("gen_api_docs", ROOT / "tools" / "gen_api_docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    page = module.page()

    assert (ROOT / "docs/reference/api.md").read_text() == page, "run `make docs`"
    for call in ("Produce", "ConsumeStream", "Replicate", "Watch", "GetServers"):
        assert f"| `{call}` |" in page
