"""The results as Markdown: how they were made, on what, the targets, and a table for each group."""

from __future__ import annotations

from benchmarks.noise_settings import IMAGES, VOLUMES
from benchmarks.noise_targets import Target, share, targets
from benchmarks.our_noise import NATIVE, NUMBA
from benchmarks.results import Group, Results, Row
from benchmarks.rounds import ROUNDS, SLOW, SLOW_ROUNDS, TURN

UNDISTURBED = 0.9  # CPU time over wall time above which a run counts as undisturbed
METHOD = f"""\
Made by `python -m benchmarks`. One thread for everybody, where nothing else is said; all of a table in one run.

The rows of a table take turns: a round gives each row one turn, back and forth through the table. In its turn a row is
called again and again for {TURN * 1000:.0f} ms, and the median of its calls but the first counts. There are
{ROUNDS} rounds ({SLOW_ROUNDS} for calls of more than {SLOW} s). Rates are medians over the rounds; *spread* is half the
interquartile range. Ratios are formed in each round, between turns a moment apart, and their median stands in the
table: they hold where the machine's speed drifts, and may differ from the quotient of the rates. *Share of fill* is
against whichever way to fill the same buffer with a constant was the fastest in the round. Tables marked "one after the
other" were measured without turns, 7 rounds for each row, and their ratios suffer from drift."""


def markdown(results: Results, environment: list[str]) -> str:
    parts = ["# Benchmark results", METHOD, "\n".join([*environment, *disturbance(results)])]
    wanted = targets(results)
    if wanted:
        parts += [*glance(results), target_table(wanted)]
    parts += [table(group) for group in results.values()]
    return "\n\n".join(parts) + "\n"


def disturbance(results: Results) -> list[str]:
    """Return how much of its core the run had, and a warning if others took much of it."""
    shares = {group.name: group.cpu_share for group in results.values() if group.cpu_share is not None}
    if not shares:
        return []
    worst = min(shares, key=lambda name: shares[name])
    line = f"- CPU time over wall time, at worst: {shares[worst]:.0%} ({worst})"
    if shares[worst] >= UNDISTURBED:
        return [line]
    return [
        line,
        "- **The machine was busy with other work**: rates are too low, and long calls suffer more than short ones",
    ]


def glance(results: Results) -> list[str]:
    """Return a table of our noise at each setting beside the fastest peer of the run; none if none was measured."""
    rows = []
    for setting in (*IMAGES, VOLUMES):
        group = results.get(f"noise, {setting.name}")
        native = group.row(NATIVE) if group else None
        if group is None or native is None:
            continue
        peers = [row for row in group.rows if not row.yardstick and row.label not in (NATIVE, NUMBA)]
        best = max(peers, key=lambda row: row.rate, default=None)
        peer = [best.label, f"{native.over(best):.3g} times"] if best else ["none", ""]
        cells = [setting.name, rate(native, group.unit), f"{share(group):.2f}", *peer]
        rows.append("| " + " | ".join(cells) + " |")
    head = ["## Noise at a glance", "", "| setting | native | share of fill | fastest peer here | native over it |"]
    return ["\n".join([*head, "|---|---:|---:|---|---:|", *rows])] if rows else []


def target_table(wanted: list[Target]) -> str:
    lines = ["## Targets of the noise", "", "| what | target | measured | met |", "|---|---:|---:|---|"]
    for one in wanted:
        sign = "≤" if one.at_most else "≥"
        measured = "" if one.measured is None else f"{one.measured:.3g}{one.unit}"
        met = {None: "not measured", True: "yes", False: "**no**"}[one.met]
        lines.append(f"| {one.what} | {sign} {one.bound:g}{one.unit} | {measured} | {met} |")
    lines += [
        "",
        "Over FastNoise2: an estimate, our lead over pyfastnoisesimd in this run divided by FastNoise2's over it, as",
        "quoted from another machine (under each table).",
    ]
    return "\n".join(lines)


def table(group: Group) -> str:
    """Return the group's table: fastest first, then what is absent and why."""
    baseline, fill = baseline_row(group), group.yardstick
    columns = ["what", "median rate", "spread", f"against {baseline.label if baseline else group.baseline}"]
    columns += ["share of fill"] if fill else []
    columns += ["per call"] if any(row.amount for row in group.rows) else []
    lines = [f"## {group.name}", ""]
    lines += [] if group.in_turns else ["One after the other.", ""]
    lines += ["| " + " | ".join(columns) + " |", "|---|" + "---:|" * (len(columns) - 1)]
    for row in sorted(group.rows, key=lambda one: -one.rate):
        cells = [row.label, rate(row, group.unit), f"±{row.spread:.0%}"]
        cells.append(f"{row.over(baseline):.3g}" if baseline else "")
        if fill:
            cells.append(f"{row.over(fill):.3g}")
        if "per call" in columns:
            cells.append(row.amount)
        lines.append("| " + " | ".join(cells) + " |")
    for label, reason in group.absent:
        lines.append(f"| {label} | {reason} |" + " |" * (len(columns) - 2))
    for note in group.notes:
        lines += ["", note]
    return "\n".join(lines)


def baseline_row(group: Group) -> Row | None:
    if group.in_turns:
        return group.row(group.baseline)
    return next((row for row in group.rows if group.baseline in row.label), None)


def rate(row: Row, unit: str) -> str:
    if unit == "call":
        microseconds = 1e6 / row.rate
        return f"{microseconds:,.{1 if microseconds < 100 else 0}f} µs/call"
    return f"{scaled(row.rate)} {unit}/s"


def scaled(value: float) -> str:
    for limit, suffix in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= limit:
            return f"{value / limit:.3g}{suffix}"
    return f"{value:.3g} "
