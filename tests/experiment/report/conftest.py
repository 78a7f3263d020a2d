"""One page with all that a page can have, for the tests of this folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from plr_fast.experiment.report import write_page

from ..factory import make_results
from .page_parts import LOST, ODD, everything
from .page_reader import Reader


def write(out: Path) -> Path:
    """The page of an experiment with odd names and missing cells, with all that a page can have."""
    missing = tuple(replace(LOST, repeat=repeat) for repeat in range(5))
    results = make_results(out, repeats=5, missing=missing)
    methods = tuple(
        replace(one, about=f"{one.about} {ODD}") if one.name == "RI" else one for one in results.plan.methods
    )
    facts = {"versions": {"torch": "2.13.0"}, "odd": ODD, "left_out": ["ImageNet: no weights."]}
    plan = replace(results.plan, title=f"Title {ODD}", methods=methods, config=f"title: {ODD}\n", facts=facts)
    cells = tuple(
        replace(
            cell,
            facts={
                **cell.facts,
                "warnings": [f"warned {ODD}"] if cell.key.repeat else [],
                "pretrain": f"{cell.key.method}-{cell.key.repeat}",
            },
        )
        for cell in results.cells
    )
    results = replace(results, plan=plan, cells=cells)
    return write_page(results, out, **everything(results, out))


@pytest.fixture(scope="session")
def path(tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="session")
def html(path) -> str:
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def page(html) -> Reader:
    return Reader(html)
