"""The guide to ``proglog.testing`` shows tests: they run here as they stand there."""

import inspect
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import proglog.testing

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guides" / "testing.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)


def shown_tests() -> dict[str, Callable[..., object]]:
    found: dict[str, Callable[..., object]] = {}
    for block in BLOCKS:
        names: dict[str, object] = {}
        exec(compile(block, GUIDE, "exec"), names)
        found |= {
            name: value for name, value in names.items() if name.startswith("test_") and inspect.isfunction(value)
        }
    return found


SHOWN = shown_tests()


@pytest.mark.parametrize("name", SHOWN)
async def test_the_guide_shows_a_test_that_passes(name: str, tmp_path: Path) -> None:
    test = SHOWN[name]

    result = test(**({"tmp_path": tmp_path} if "tmp_path" in inspect.signature(test).parameters else {}))
    if inspect.isawaitable(result):
        await result


def test_the_guide_uses_every_public_name() -> None:
    assert len(SHOWN) == len(BLOCKS) == 4
    text = GUIDE.read_text()
    assert [name for name in proglog.testing.__all__ if not re.search(rf"\b{name}\b", text)] == []
