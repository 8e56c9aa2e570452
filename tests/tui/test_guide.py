"""`?`: what the number under the cursor means, how it is judged, what to do about it."""

import importlib
import pkgutil

import pytest

import proglog.tui
from proglog.observe.columns import Column
from proglog.observe.spans import Locale
from proglog.tui.panels.copies import columns as copies_columns
from proglog.tui.state import DashState, SnapshotArrived, reduce
from proglog.wire.model import MemberStatus


def _tables(world):
    """Every tuple of columns that a module declares, and those that depend on the cluster."""
    for module in pkgutil.walk_packages(proglog.tui.__path__, "proglog.tui."):
        for name, value in vars(importlib.import_module(module.name)).items():
            if isinstance(value, tuple) and value and all(isinstance(each, Column) for each in value):
                yield f"{module.name}.{name}", value
    state = reduce(DashState(target="a", now=0.0), SnapshotArrived(world.snapshot(), 1.0))
    yield "copies", copies_columns.columns(state, Locale(), 130)
    yield "copies, narrow", copies_columns.columns(state, Locale(), 30)


def test_every_column_of_every_table_is_explained(world):
    tables = dict(_tables(world))
    assert len(tables) >= 7
    for name, columns in tables.items():
        for column in columns:
            assert column.help is not None, f"{name}: {column.title!r}"
            assert column.help.means.endswith("."), f"{name}: {column.title!r}"


async def test_help_begins_with_the_number_under_the_cursor(open_dash, world):
    async with open_dash((140, 40)) as dash:
        world.lag["node-b"] = 20_000
        await dash.run(5)
        await dash.press("2", "l", "l", "l", "l", "question_mark")
        first = dash.text.split("Help")[1].splitlines()[1:12]
        assert "WE TRAIL BY of node-b: " in first[0]
        assert "20,000 records" in first[0]
        told = "\n".join(first)
        assert "is     What the peer holds and this agent does not yet" in told
        assert "well?  In step" in told
        assert "do     Look at the processor and disk" in told


async def test_what_needs_attention_about_the_row_is_reported_with_its_advice(open_dash, world):
    async with open_dash((140, 40)) as dash:
        world.status["node-c"] = MemberStatus.FAILED
        await dash.run(2)
        await dash.press("G", "l", "question_mark")
        told = dash.text.split("Help")[1]
        assert "STATUS of node-c: ✖ failed" in told
        assert "✖ node-c failed" in told


async def test_h_goes_back_and_a_click_chooses_the_column(open_dash):
    async with open_dash((140, 40)) as dash:
        await dash.run()
        table = dash.app.screen.table("members")
        await dash.press("l", "l", "h")
        assert table.columns[table.column].title == "STATUS"
        await dash.press(*"hhhh")
        assert table.column == 0
        await dash.pilot.click("#members", offset=(18, 2))
        assert table.columns[table.column].title == "STATUS"
        assert table.cell == "● alive"


async def test_a_panel_without_columns_is_explained_as_a_whole(open_dash):
    async with open_dash((140, 40)) as dash:
        await dash.run()
        await dash.press("4", "question_mark")
        assert "a spike is never averaged away" in dash.text


@pytest.mark.parametrize("size", [(140, 40), (80, 24), (40, 12)])
async def test_help_says_how_to_sort_to_filter_and_to_copy(open_dash, size):
    async with open_dash(size) as dash:
        await dash.run()
        await dash.press("question_mark")
        text = "\n".join("".join(span.text for span in line) for line in dash.app.screen._lines)
        for words in ("Sort by the next column", "Reverse the order", "Rows that match", "Copy the name"):
            assert words in " ".join(text.split())


async def test_keys_are_grouped_by_task_and_are_the_dashboards_own(open_dash):
    async with open_dash((140, 40)) as dash:
        await dash.run()
        await dash.press("question_mark")
        text = ["".join(span.text for span in line) for line in dash.app.screen._lines]
        tasks = [line for line in text if line.startswith("Keys: ")]
        assert tasks == [
            "Keys: what is under the cursor", "Keys: moving", "Keys: panels", "Keys: time", "Keys: files, help, leaving",
        ]  # fmt: skip
        assert not any("Copy selected text" in line or "Focus Next" in line for line in text)
        panels = text[text.index("Keys: panels") : text.index("Keys: time")]
        assert any(line.startswith("7 ") and "Go to consumers" in line for line in panels)
