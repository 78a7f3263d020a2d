"""The reporting checklists TRIPOD+AI and CLAIM, filled with what the results of an experiment and its authors say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import yaml

from ..evidence.statistics import DatasetStatistics, experiment_statistics
from ..planning.card_facts import CARD_FACTS, card_facts, card_of
from ..results import Results
from ..table import Column, Entry, Row, Table
from .known import NOTHING, known_facts
from .markdown import table_markdown

ASK = "For the authors to fill: "
FILLED, IN_PART, OPEN = "filled", "in part", "open"

_COLUMNS = (
    Column("item", "Item", numeric=False),
    Column("topic", "What is asked", numeric=False),
    Column("status", "Status", numeric=False),
    Column("answer", "Answer", numeric=False),
    Column("where", "More in", numeric=False),
)


@dataclass(frozen=True)
class Item:
    """An item of a checklist, in words of our own.

    Attributes:
        number: as the checklist counts, such as ``12a``.
        section, topic: where it belongs and what it asks for.
        known: keys of :func:`~plr_fast.experiment.writing.known.known_facts` that answer it.
        card: key of :data:`~plr_fast.experiment.planning.card_facts.CARD_FACTS` that authors answer it with, or empty.
        ask: what else authors must write themselves; empty: nothing, or what ``card`` tells.
        where: part of the report or the model card with more of it.
    """

    number: str
    section: str
    topic: str
    known: tuple[str, ...] = ()
    card: str = ""
    ask: str = ""
    where: str = ""


@dataclass(frozen=True)
class Checklist:
    """A checklist.

    Attributes:
        key: ``tripod-ai`` or ``claim``.
        title: its name.
        count: how many items it is known to have (sub-items such as 12a and 12b count once).
        items: in its order.
    """

    key: str
    title: str
    count: int
    items: tuple[Item, ...]


@cache
def checklists() -> tuple[Checklist, ...]:
    """TRIPOD+AI and CLAIM as the package ships them."""
    text = resources.files(__package__).joinpath("checklist.yaml").read_text(encoding="utf-8")
    found: Mapping[str, Any] = yaml.safe_load(text)
    return tuple(
        Checklist(key, entry["title"], entry["count"], tuple(_item(item) for item in entry["items"]))
        for key, entry in found.items()
    )


def checklist_tables(
    results: Results,
    *,
    statistics: Mapping[str, DatasetStatistics] | None = None,
    leaks: Sequence[str] = (),
    card: Mapping[str, str] | None = None,
) -> list[Table]:
    """One table for each checklist: every item, and what the results or the authors say to it.

    Arguments and errors as of :func:`~plr_fast.experiment.writing.model_card.model_card`.
    """
    found = statistics if statistics is not None else experiment_statistics(results)
    told = card_of(results) if card is None else card_facts(card)
    known = known_facts(results, found, leaks)
    return [_table(checklist, known, told) for checklist in checklists()]


def checklist_markdown(tables: Sequence[Table]) -> str:
    """The tables as one document, ``checklist.md``."""
    return "\n".join(["# Reporting checklists", "", *(table_markdown(table) for table in tables)])


def _item(entry: Mapping[str, Any]) -> Item:
    known = tuple(entry.get("known", ()))
    texts = {name: entry.get(name, "") for name in ("card", "ask", "where")}
    return Item(entry["item"], entry["section"], entry["topic"], known, **texts)


def _table(checklist: Checklist, known: Mapping[str, str], told: Mapping[str, str]) -> Table:
    rows, counts = [], {FILLED: 0, IN_PART: 0, OPEN: 0}
    for item in checklist.items:
        status, answer = _answer(item, known, told)
        counts[status] += 1
        texts = (item.number, item.topic, status, answer, item.where)
        rows.append(Row(tuple(Entry(text) for text in texts), section=item.section))
    summary = ", ".join(f"{count} {status}" for status, count in counts.items())
    return Table(
        key=f"checklist-{checklist.key}",
        title=f"{checklist.title} checklist",
        caption=f"{checklist.count} items in words of our own, filled from the results where they say it: {summary}. "
        "The published checklist is what counts.",
        columns=_COLUMNS,
        rows=rows,
        notes=["Authors fill open items under card: in the experiment's file, or in their paper."],
    )


def _answer(item: Item, known: Mapping[str, str], told: Mapping[str, str]) -> tuple[str, str]:
    answers = [f"{known[key].rstrip('.')}." for key in item.known if key in known]
    if item.card in told:
        answers.append(f"{told[item.card].rstrip('.')}.")
    asked = item.ask
    if item.card and item.card not in told:
        asked = "; ".join(text for text in (CARD_FACTS[item.card], item.ask) if text)
    lacking = [key for key in item.known if key not in known and NOTHING.get(key, key)]
    texts = [*answers, *(f"{NOTHING[key]}." for key in lacking if key in NOTHING)]
    if any(key not in NOTHING for key in lacking):
        texts.append(f"Not recorded in the results: {item.topic}.")
    if asked:
        texts.append(f"{ASK}{asked}.")
    if not answers:
        return OPEN, " ".join(texts)
    return (IN_PART if asked or lacking else FILLED), " ".join(texts)
