"""Tasks and parts have owners: no module starts a task, or enters a context, by hand."""

import ast
from collections.abc import Iterator
from pathlib import Path

import proglog

SOURCE = Path(proglog.__file__).parent
OWNER = SOURCE / "tasks.py"
STARTS = {"create_task", "ensure_future"}
ENTERS = {"__enter__", "__aenter__", "__exit__", "__aexit__"}


def modules() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(SOURCE.rglob("*.py")):
        if "testing" not in path.parts and not path.name.endswith(("_pb2.py", "_pb2_grpc.py")):
            yield path, ast.parse(path.read_text())


def calls_of(names: set[str]) -> list[str]:
    return [
        f"{path.relative_to(SOURCE)}:{node.lineno}"
        for path, module in modules()
        for node in ast.walk(module)
        if isinstance(node, ast.Call)
        and (node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")) in names
        and path != OWNER
    ]


def test_only_the_owner_of_tasks_starts_one() -> None:
    assert calls_of(STARTS) == []
    assert "create_task" in OWNER.read_text()


def test_no_context_is_entered_or_left_by_hand() -> None:
    assert calls_of(ENTERS) == []
