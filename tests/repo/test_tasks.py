"""Tasks, parts and the log have owners: nothing starts a task, enters a context or reads the log by hand."""

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


def test_no_attribute_is_declared_without_a_value() -> None:
    declared = [
        f"{path.relative_to(SOURCE)}:{node.lineno} {ast.unparse(node)}"
        for path, module in modules()
        for node in ast.walk(module)
        if isinstance(node, ast.AnnAssign) and node.value is None and isinstance(node.target, ast.Attribute)
    ]

    assert declared == []


def test_the_log_is_not_reached_through_its_asynchronous_face() -> None:
    reached = [
        f"{path.relative_to(SOURCE)}:{node.lineno} {ast.unparse(node)}"
        for path, module in modules()
        for node in ast.walk(module)
        if isinstance(node, ast.Attribute) and node.attr == "log"
        if ast.unparse(node.value).rpartition(".")[2].lstrip("_") in ("writer", "commit_log")
    ]

    assert reached == [], "ask CommitLog.query, or what is known without the disk"
