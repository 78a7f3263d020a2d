"""Turns, ratios and tables of the benchmarks: what they say must be so, whatever the machine does meanwhile."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch

import plr_fast
from benchmarks import noise_peers, report, results, torch_noise
from benchmarks.noise_settings import IMAGES, VOLUMES, Setting, UnsupportedError
from benchmarks.noise_targets import targets
from benchmarks.rounds import Candidate, Rounds


def document(group: str, rows: dict[str, tuple[int, list[float]]], fills: tuple[str, ...] = (), **extra: Any) -> Any:
    """Return what pytest-benchmark writes for one comparison; ``rows``: label → items and seconds of each round."""
    candidates = [
        {"label": label, "items": items, "amount": "", "yardstick": label in fills, "seconds": seconds}
        for label, (items, seconds) in rows.items()
    ]
    info = {"unit": "pixel", "baseline": "plr_fast native", "notes": [], "absent": [], "cpu_share": 1.0}
    info["candidates"] = candidates
    return json.loads(json.dumps({"benchmarks": [{"group": group, "extra_info": info | extra}]}))


def test_candidates_take_turns_back_and_forth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.rounds.turn", lambda candidate: candidate.call() or 0.01)
    order: list[str] = []
    rounds = Rounds([Candidate(name, lambda name=name: order.append(name), 1) for name in "abc"])
    for _ in range(3):
        rounds()
    assert "".join(order) == "abccbaabc"
    assert [len(times) for times in rounds.seconds] == [3, 3, 3]


def test_slow_candidates_get_fewer_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.rounds.turn", lambda candidate: float(candidate.items))
    rounds = Rounds([Candidate("slow", lambda: None, 2), Candidate("fast", lambda: None, 0)])
    for _ in range(9):
        rounds()
    assert [len(times) for times in rounds.seconds] == [3, 9]


def test_ratios_survive_a_machine_that_slows_down() -> None:
    drift = [1.0, 1.1, 1.7, 2.9, 3.0]
    found = results.read(
        document(
            "g", {"plr_fast native": (300, drift), "other": (100, [2 * d for d in drift]), "slow": (1, [1.0, 1.1])}
        )
    )["g"]
    native, other, slow = found.rows
    assert other.over(native) == pytest.approx(1 / 6)
    assert slow.over(native) == pytest.approx(1 / 300), "fewer rounds are compared with those that ran beside them"


def test_share_of_fill_is_of_the_fastest_fill_of_each_round() -> None:
    rows = {"one": (10, [1.0, 4.0, 2.0]), "two": (10, [2.0, 2.0, 2.0]), "plr_fast native": (10, [4.0, 4.0, 4.0])}
    group = results.read(document("g", rows, fills=("one", "two")))["g"]
    assert group.yardstick is not None
    assert group.yardstick.seconds == [1.0, 2.0, 2.0]
    assert group.rows[2].over(group.yardstick) == 0.5


def test_what_is_absent_has_a_row_with_the_reason() -> None:
    absent = [{"label": "lost", "reason": "absent: not installed"}]
    text = report.markdown(
        results.read(document("g", {"plr_fast native": (10, [1.0])}, absent=absent, notes=["Said."])), ["- machine"]
    )
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert rows[-1].startswith("| lost | absent: not installed |")
    assert len({line.count("|") for line in rows}) == 1, "all rows have all columns"
    assert text.endswith("Said.\n")


def test_a_busy_machine_is_told() -> None:
    rows = {"plr_fast native": (10, [1.0])}
    calm, busy = (results.read(document("g", rows, cpu_share=share)) for share in (0.99, 0.6))
    assert "at worst: 99% (g)" in report.markdown(calm, [])
    assert "busy" not in report.markdown(calm, [])
    assert "at worst: 60% (g)\n- **The machine was busy" in report.markdown(busy, [])


def test_targets_are_judged_by_what_was_measured() -> None:
    name = f"noise, {IMAGES[1].name}"  # 4 cells, 4 octaves
    rows = {"fill": (10, [1.0]), "plr_fast native": (10, [2.0]), "pyfastnoisesimd": (10, [20.0])}
    found = {one.what: one for one in targets(results.read(document(name, rows, fills=("fill",))))}
    share = found[f"share of fill, {IMAGES[1].name}"]
    assert (share.measured, share.met) == (0.5, True)
    estimate = found[f"over FastNoise2 (estimate), {IMAGES[1].name}"]
    assert estimate.measured == pytest.approx(10 / (470 / 260))
    assert estimate.met is False
    assert found[f"share of fill, {VOLUMES.name}"].met is None
    assert targets(results.read(document("other", rows))) == [], "nothing of noise, no targets"


def test_every_peer_is_a_candidate_or_absent_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    # Compiling takes long and needs a compiler: the compiled form differs from the eager one by torch.compile alone.
    peers = [peer for peer in noise_peers.PEERS if peer.make is not noise_peers.torch_compiled]
    monkeypatch.setattr(noise_peers, "PEERS", peers)
    setting = Setting(4, (64, 64), 4.0, 2)
    expected = plr_fast.perlin_noise((1, *setting.sizes), cells=setting.cells, octaves=setting.octaves)[0].numpy()
    candidates, absent = noise_peers.candidates(setting, expected)
    assert sorted(one.label for one in (*candidates, *absent)) == sorted(peer.name for peer in peers)
    own = {peer.name for peer in peers if not peer.distribution}
    assert own <= {one.label for one in candidates}, "our own forms need nothing installed"
    assert all(one.reason for one in absent)


def test_a_peer_that_fails_is_told_with_its_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(setting: Setting, samples: int) -> Any:
        raise AttributeError("module 'numpy' has no attribute 'product'\nand more")

    monkeypatch.setattr(noise_peers, "PEERS", [noise_peers.Peer("old", broken, 1, "old")])
    candidates, (absent,) = noise_peers.candidates(Setting(4, (8, 8), 2.0, 1), np.ones((8, 8)))
    assert candidates == []
    assert absent.reason == "failed: AttributeError: module 'numpy' has no attribute 'product'"


@pytest.mark.parametrize("flaw", ["constant", "infinite", "repeated", "rough"])
def test_a_peer_that_makes_something_else_is_refused(flaw: str) -> None:
    noise = plr_fast.perlin_noise((4, 64, 64), cells=4, octaves=2).numpy()
    expected = noise_peers.roughness(noise[0])
    first, second = noise[:2].copy(), noise[2:].copy()
    noise_peers.check("fine", first, second, (2, 64, 64), expected)
    if flaw == "constant":
        first[:] = 0
    elif flaw == "infinite":
        first[0, 0, 0] = np.inf
    elif flaw == "repeated":
        second[-1] = first[0]
    else:
        first = np.ascontiguousarray(first[:, ::2, ::2].repeat(2, 1).repeat(2, 2))
        first += 0.1 * np.random.default_rng(0).standard_normal(first.shape).astype(np.float32)
    with pytest.raises(AssertionError):
        noise_peers.check("flawed", first, second, (2, 64, 64), expected)


def test_the_two_torch_forms_make_the_same_noise() -> None:
    cells = [(4, 2), (8, 4), (16, 8)]
    tiled = torch_noise.tiled_noise((64, 48), cells, torch.Generator().manual_seed(7))
    gradients = torch_noise.random_gradients(1, cells, torch.Generator().manual_seed(7))
    torch.testing.assert_close(torch_noise.broadcast_noise((64, 48), gradients)[0], tiled, atol=1e-6, rtol=0)


def test_cells_that_do_not_divide_are_no_matter_for_ours_only() -> None:
    with pytest.raises(UnsupportedError, match="divide the sides"):
        IMAGES[-1].whole_cells()
    assert IMAGES[2].whole_cells() == [(4 << octave,) * 2 for octave in range(6)]
