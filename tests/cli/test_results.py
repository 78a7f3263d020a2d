"""What evaluations print on the terminal."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from plr_fast.cli.results import restorer_table
from plr_fast.evaluation.bootstrap import Interval
from plr_fast.evaluation.restoration import REGIONS


def result(restorations):
    value = {source: Interval(0.5, 0.4, 0.6) for source in ("corrupted", "restored")}
    one = SimpleNamespace(restorer="a", test_set="b", summary={region: {"mse": value} for region in REGIONS})
    return SimpleNamespace(restorations=[one] * restorations)


@pytest.mark.parametrize(("restorations", "rows"), [(1, 3), (4, 12), (20, 20)])
def test_the_table_of_many_test_sets_stays_short(restorations, rows):
    table = restorer_table(result(restorations))
    assert table.row_count == rows
    assert ("see the report" in str(table.title)) == (restorations > 4)
