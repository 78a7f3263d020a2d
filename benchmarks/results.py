"""What a run measured, read from pytest-benchmark's JSON: groups of rows, with ratios formed round by round."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Row:
    """One candidate's figures.

    Attributes:
        label: its name.
        items: pixels, images, ... of a call.
        amount: the same in words.
        seconds: time per call, one entry a round.
        spread: half the interquartile range over the median; 0 for one round.
        yardstick: whether it is one of the ways to fill the buffer.
    """

    label: str
    items: int
    amount: str
    seconds: list[float]
    spread: float
    yardstick: bool = False

    @property
    def rate(self) -> float:
        return self.items / statistics.median(self.seconds)

    def over(self, other: Row) -> float:
        """Return this rate over the other's: the median of the rounds' ratios, each between neighbouring turns."""
        pairs = zip(self.seconds, other.seconds, strict=False)
        return statistics.median((self.items / mine) / (other.items / theirs) for mine, theirs in pairs)


@dataclass
class Group:
    """One table."""

    name: str
    unit: str
    baseline: str
    rows: list[Row] = field(default_factory=list)
    absent: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    in_turns: bool = True
    cpu_share: float | None = None  # CPU time over wall time: below 1, somebody else had the core meanwhile

    def row(self, label: str) -> Row | None:
        return next((row for row in self.rows if row.label == label), None)

    @property
    def yardstick(self) -> Row | None:
        """The fill of each round by whichever way was the fastest in it, so that no share flatters."""
        fills = [row for row in self.rows if row.yardstick]
        if not fills:
            return None
        seconds = [min(times) for times in zip(*(fill.seconds for fill in fills), strict=False)]
        return Row("fastest fill", fills[0].items, "", seconds, spread(seconds), yardstick=True)


Results = dict[str, Group]


def read(document: dict[str, Any]) -> Results:
    """Return the groups of a pytest-benchmark document by name, in the order in which they ran."""
    groups: Results = {}
    for one in document["benchmarks"]:
        extra = one["extra_info"]
        if "candidates" in extra:
            groups[one["group"]] = compared(one["group"], extra)
        else:
            group = groups.setdefault(one["group"], Group(one["group"], extra["unit"], "native", in_turns=False))
            group.rows.append(measured(one))
    return groups


def compared(name: str, extra: dict[str, Any]) -> Group:
    """Return the group that ``compare`` measured."""
    group = Group(name, extra["unit"], extra["baseline"], notes=extra["notes"], cpu_share=extra["cpu_share"])
    group.absent = [(one["label"], one["reason"]) for one in extra["absent"]]
    for one in extra["candidates"]:
        group.rows.append(Row(spread=spread(one["seconds"]), **one))
    return group


def measured(one: dict[str, Any]) -> Row:
    """Return the row of one test that used ``measure``: its label is the test's name and what it is parametrised by."""
    label = one["name"].removeprefix("test_").partition("[")[0].replace("_", " ")
    parameters = [str(v) for k, v in (one["params"] or {}).items() if k in ("backend", "corruption")]
    stats, extra = one["stats"], one["extra_info"]
    return Row(
        label=" ".join([label, *parameters]),
        items=extra["items"],
        amount="",
        seconds=[stats["median"]],
        spread=stats["iqr"] / 2 / stats["median"],
    )


def spread(seconds: list[float]) -> float:
    if len(seconds) < 2:
        return 0.0
    low, middle, high = statistics.quantiles(seconds, n=4, method="inclusive")
    return (high - low) / 2 / middle
