"""The table of what the splits of an experiment share."""

from __future__ import annotations

from plr_fast.data.leakage import LeakageReport, Memory, SharedBetween
from plr_fast.experiment.writing.leakage_table import leakage_table


def test_the_table_has_every_count() -> None:
    pairs = (
        SharedBetween("train", "val", 9, 0, 0, 0, 0, 0, 0),
        SharedBetween("train", "test", 1_007, 1, 2, 3, 4, 5, 6),
    )
    report = LeakageReport(pairs, Memory(1_000, 0.75, 0.5), "file")
    table = leakage_table({"phantom": report})
    assert [entry.text for entry in table.rows[1].entries] == ["train → test", "1,007", *"123456", "75.0%"]
    assert table.rows[1].entries[8].value == 0.75
    assert "50.0%" in table.rows[1].entries[8].note
    assert table.rows[0].entries[8].text == "–"
    assert table.notes == report.sentences()
    both = leakage_table({"one": report, "two": report})
    assert [row.section for row in both.rows] == ["one", "one", "two", "two"]
    assert both.notes[-1].startswith("two: ")
