"""The command line as a user meets it: help, pictures, errors of one line, and the whole chain on a small phantom."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import plr_fast
from plr_fast.cli.main import COMMANDS, main
from plr_fast.cli.pictures import captioned
from plr_fast.data import SliceStore, thorax_phantom

WIDTHS = ["--widths", "4", "4", "8", "8", "8"]


def output(capsys: pytest.CaptureFixture[str], *arguments: object, status: int = 0) -> str:
    """Run a command in this process; returns what it printed on either stream."""
    try:
        code = main([str(a) for a in arguments])
    except SystemExit as exit_:  # tyro's way of ending after help and usage errors
        code = exit_.code
    captured = capsys.readouterr()
    assert code == status, captured.err
    return captured.out + captured.err


def picture(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_overview_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    text = output(capsys, "--help")
    assert all(name in text for name in COMMANDS)
    assert "not for clinical use" in text
    assert output(capsys, "--version") == f"plr-fast {plr_fast.__version__}\n"
    assert "usage" in output(capsys, status=2)
    assert "unknown command 'train'; choose one of demo" in output(capsys, "train", status=2)


@pytest.mark.parametrize(
    "name", [*COMMANDS, "generate noise", "generate patches", "generate lesions", "generate sheets"]
)
def test_help_of_each_command(capsys: pytest.CaptureFixture[str], name: str) -> None:
    text = output(capsys, *name.split(), "--help")
    assert f"plr-fast {name}" in text
    if name != "generate":
        assert "--" in text


def test_module_is_the_command() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "plr_fast", "--version"], capture_output=True, text=True, timeout=60, check=True
    )
    assert said.stdout == f"plr-fast {plr_fast.__version__}\n"


def test_help_answers_without_loading_torch() -> None:
    code = "import sys; from plr_fast.cli.main import main; main(['--help']); print({'torch', 'tyro'} & {*sys.modules})"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert said.stdout.endswith("set()\n")


def test_openmp_threads_do_not_spin_unless_told() -> None:
    code = "import os; from plr_fast.cli.main import main; main(['doctor']); print(os.environ['OMP_WAIT_POLICY'])"
    for given, expected in (({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")):
        environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"} | given
        said = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True, env=environment
        )
        assert said.stdout.splitlines()[-1] == expected


def test_generate_noise(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    output(capsys, "generate", "noise", "--out", tmp_path, "--count", 18, "--size", 40, "--octaves", 2, "--seed", 3)
    expected = plr_fast.perlin_noise((18, 40, 40), octaves=2, seed=3, dtype="uint8", grey="minmax").numpy()
    for i in (0, 17):
        np.testing.assert_array_equal(picture(tmp_path / f"noise_{i:06d}.png"), expected[i])
    assert picture(tmp_path / "overview.png").shape == (4 * 44 - 4, 4 * 44 - 4)
    assert json.loads((tmp_path / "settings.json").read_text())["noise"]["octaves"] == 2


def test_generate_patches(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = ("--count", 30, "--images", 4, "--size", 64, "--patch", 3, 9)
    output(capsys, "generate", "patches", "--out", tmp_path, *arguments)
    assert plr_fast.LesionBank.load(tmp_path / "bank.npz") == plr_fast.LesionBank.generate(30, 4, 64, patch=(3, 9))
    assert (tmp_path / "overview.png").is_file()


@pytest.mark.parametrize("corruption", ["perlin", "gaussian", "shuffle"])
def test_generate_lesions(capsys: pytest.CaptureFixture[str], tmp_path: Path, corruption: str) -> None:
    text = output(
        capsys, "generate", "lesions", "--out", tmp_path, "--corruption", corruption, "--count", 3, "--size", 64
    )
    assert f"3 pairs (original, {corruption})" in text
    pairs = [
        (picture(tmp_path / f"phantom_{i:06d}_original.png"), picture(tmp_path / f"phantom_{i:06d}_{corruption}.png"))
        for i in range(3)
    ]
    assert all((a != b).any() for a, b in pairs)
    sheet = picture(tmp_path / "overview.png")
    assert sheet.shape == (3 * (20 + 20 + 64 + 8), 3 * 68 - 4)
    # Caption, titles, then normal | pseudo | difference.
    for row, (original, pseudo) in enumerate(pairs):
        band = sheet[row * 112 + 40 :][:64]
        np.testing.assert_array_equal(band[:, :64], original)
        np.testing.assert_array_equal(band[:, 68:132], pseudo)
        np.testing.assert_array_equal(band[:, 136:], (pseudo.astype(int) - original) // 2 + 128)


def test_generate_lesions_takes_shape_and_place(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = ("--count", 2, "--size", 96, "--patch", 4, 9, "--threshold", 150, "--cells", 8, "--shape", "cloud")
    more = ("--inside", "patch", "--blend", "add", "--alpha", 0.3, 0.7)
    output(capsys, "generate", "lesions", "--out", tmp_path, *arguments, *more)
    phantom = thorax_phantom(1, 4, 96, positive_share=0.0, seed=0)
    bank = plr_fast.LesionBank.generate(patch=(4, 9), threshold=150, cells=8)
    expected = plr_fast.paste_lesions(
        phantom.slices[:2], phantom.masks[:2], bank, shape="cloud", inside="patch", blend="add", alpha=(0.3, 0.7)
    )
    for i in range(2):
        np.testing.assert_array_equal(picture(tmp_path / f"phantom_{i:06d}_perlin.png"), expected[i])


def test_generate_sheets(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = ("--count", 1, "--size", 96, "--patch", 4, 9, "--alpha", 0.5, 0.5)
    text = output(capsys, "generate", "sheets", "--out", tmp_path, *arguments)
    assert "phantom_000000" in text
    sheet = picture(tmp_path / "corruptions.png")
    height = 20 + 20 + 96 + 8
    assert sheet.shape == (11 * height, 3 * 100 - 4)  # three blends of three shapes, gaussian, shuffle
    rows = [sheet[i * height + 40 :][:96] for i in range(11)]
    assert all((row[:, :96] == rows[0][:, :96]).all() for row in rows)
    assert len({row[:, 100:196].tobytes() for row in rows}) == 11
    captions = [sheet[i * height :][:20] for i in range(11)]
    # Nothing is cut off: lines of text end before the edge, and every row says something of its own.
    assert all((caption[:, -2:] == 24).all() and (caption > 100).any() for caption in captions)
    assert len({caption.tobytes() for caption in captions}) == 11
    assert picture(tmp_path / "noise.png").shape == (2 * 100 - 4, 4 * 100 - 4)
    assert (tmp_path / "patches.png").is_file()


def test_long_captions_are_broken_into_lines() -> None:
    panel = np.zeros((30, 60), np.uint8)
    one = captioned([("short", [("normal", panel)])])
    long = captioned([("a caption of many words", [("normal", panel)])])
    assert len(long) - len(one) in (40, 60, 80)  # whole lines
    assert (long[:60, -2:] == 24).all()


def test_doctor(capsys: pytest.CaptureFixture[str]) -> None:
    facts = json.loads(output(capsys, "doctor", "--json"))
    assert facts["self-test"] == "passed"
    assert [row["name"] for row in facts["backends"]] == ["native", "numba", "reference", "cuda", "cupy"]
    assert facts["packages"]["torch"].startswith("2.")
    text = output(capsys, "doctor")
    assert "in use" in text
    assert "self-test" in text


def test_doctor_reports_what_does_not_work(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLR_FAST_BACKEND", "fortran")
    assert "unknown backend 'fortran'" in output(capsys, "doctor", "--json", status=1)


ERRORS: list[tuple[list[str], str]] = [
    (["generate", "noise", "--out", "{file}"], "out is a file"),
    (["generate", "noise", "--out", "{new}", "--count", "0"], "count must be at least 1"),
    (["generate", "noise", "--out", "{new}", "--size", "-3"], "size must be at least 1"),
    (["generate", "lesions", "--out", "{new}", "--lesions", "5", "1"], "lesions must be FEWEST MOST"),
    (["generate", "sheets", "--out", "{new}", "--lesions", "-2", "1"], "lesions must be FEWEST MOST"),
    (["generate", "lesions", "--out", "{new}", "--seed", "-1"], "seed must lie in 0..2^64-1, not -1"),
    (["generate", "patches", "--out", "{new}", "--threshold", "254"], "ask for fewer patches"),
    (["generate", "lesions", "--out", "{new}", "--bank", "{new}.npz"], "new.npz: No such file or directory"),
    (["generate", "noise", "--out", "{new}", "--size", "2000000", "--count", "1"], "MiB of disk"),
    (["generate", "patches", "--out", "{new}", "--patch", "9", "2"], "low <= high"),
    (["generate", "lesions", "--out", "{new}", "--store", "{new}"], "new"),
    (["prepare", "--source", "{new}", "--out", "{new}2"], "new"),
    (["pretrain", "--store", "{new}", "--run", "{new}2"], "new"),
    (["finetune", "--store", "{new}", "--run", "{new}2", "--init", "{new}3"], "new"),
    (["evaluate", "--store", "{new}", "--out", "{new}2"], "nothing to evaluate"),
    (["demo", "--out", "{filled}", "--quick"], "holds no demo"),
]


@pytest.mark.parametrize(("arguments", "message"), ERRORS, ids=lambda v: " ".join(v[:2]) if isinstance(v, list) else "")
def test_errors_are_one_clear_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "filled").mkdir()
    (tmp_path / "filled" / "thing").write_text("")
    places = {name: str(tmp_path / name) for name in ("file", "new", "filled")}
    text = output(capsys, *(a.format(**places) for a in arguments), status=1)
    assert message in text
    assert "Traceback" not in text
    assert not (tmp_path / "new").exists()


def test_usage_errors(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--out" in output(capsys, "generate", "noise", status=2)
    output(capsys, "pretrain", "--epochs", "many", status=2)


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PLR_FAST_DEBUG", "1")
    with pytest.raises(ValueError, match="cells"):
        main(["generate", "noise", "--out", str(tmp_path), "--cells", "-3"])


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The chain of commands that the README shows, small."""
    root = tmp_path_factory.mktemp("chain")
    places = {name: root / name for name in ("store", "plr", "ri", "fine", "report")}
    commands: list[list[Any]] = [
        ["prepare", "--source", "phantom", "--out", places["store"], "--size", 32, "--phantom-patients", 20,
         "--phantom-slices", 2],
        ["pretrain", "--store", places["store"], "--run", places["plr"], "--epochs", 2, "--patch", 2, 5,
         "--bank-count", 100, "--bank-images", 4, *WIDTHS],
        ["finetune", "--store", places["store"], "--run", places["ri"], "--epochs", 2, *WIDTHS],
        ["finetune", "--store", places["store"], "--run", places["fine"], "--init", places["plr"], "--epochs", 2,
         *WIDTHS],
        ["evaluate", "--store", places["store"], "--out", places["report"], "--classifiers", places["ri"],
         places["fine"], "--restorers", places["plr"], "--bootstrap", 100, "--examples", 1],
    ]  # fmt: skip
    for command in commands:
        assert main([str(part) for part in command]) == 0
    return places


def test_the_chain_of_commands(chain: dict[str, Path]) -> None:
    store = SliceStore.open(chain["store"])
    assert len(store) == 40
    for run in ("plr", "ri", "fine"):
        assert (chain[run] / "checkpoints" / "best" / "model.safetensors").is_file()
    report = (chain["report"] / "report.html").read_text(encoding="utf-8")
    assert "not for clinical use" in report
    metrics = json.loads((chain["report"] / "metrics.json").read_text())
    assert metrics


def test_generate_from_a_store(chain: dict[str, Path], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = ("--store", chain["store"], "--count", 2, "--patch", 2, 5, "--blend", "alpha", "--alpha", 0.3, 0.6)
    output(capsys, "generate", "lesions", "--out", tmp_path, *arguments, "--feather", 1)
    index = int(SliceStore.open(chain["store"]).select("train", 0)[0])
    original = picture(tmp_path / f"slice_{index:06d}_original.png")
    np.testing.assert_array_equal(original, SliceStore.open(chain["store"]).slices[index])


def test_demo_goes_on_where_it_stopped(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "demo"
    text = output(capsys, "demo", "--quick", "--out", out)
    assert "5/5" in text
    report = out / "report" / "report.html"
    before = (out / "pretrain-plr-p" / "checkpoints" / "best" / "model.safetensors").read_bytes()
    report.unlink()
    output(capsys, "demo", "--quick", "--out", out)
    assert report.is_file()
    assert (out / "pretrain-plr-p" / "checkpoints" / "best" / "model.safetensors").read_bytes() == before
    text = output(capsys, "demo", "--quick", "--out", out, "--seed", 1, status=1)
    assert "seed was 0, is 1" in text
    (out / "demo.json").write_text("{")
    assert "demo.json is damaged" in output(capsys, "demo", "--quick", "--out", out, status=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--source", "{nowhere}"), "does not exist"),
        (("--source", "{table}"), "plr-fast prepare"),
        (("--fraction", "2"), "fraction"),
        (("--seed", "-1"), "seed"),
        (("--source", "{few}"), "--block-size"),
    ],
)
def test_a_demo_that_cannot_work_is_refused_first_and_leaves_no_trace(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    (tmp_path / "table.csv").write_text("file,label\n")
    for name in ("covid", "normal"):
        (tmp_path / "few" / name).mkdir(parents=True)
        Image.fromarray(np.arange(4096, dtype=np.uint8).reshape(64, 64)).save(tmp_path / "few" / name / "1.png")
    places = {"nowhere": tmp_path / "nowhere", "table": tmp_path / "table.csv", "few": tmp_path / "few"}
    out = tmp_path / "demo"
    text = output(capsys, "demo", "--quick", "--out", out, *(a.format(**places) for a in arguments), status=1)
    assert message in text
    assert not (out / "demo.json").exists()


def test_terminated_work_cleans_up(tmp_path: Path) -> None:
    """SIGTERM, as batch systems send it, is like Ctrl-C: nothing is left, and the status says which signal it was."""
    arguments = [
        "prepare",
        "--source",
        "phantom",
        "--out",
        str(tmp_path / "store"),
        "--phantom-patients",
        "5000",
        "--size",
        "64",
    ]
    process = subprocess.Popen([sys.executable, "-m", "plr_fast", *arguments], stderr=subprocess.DEVNULL)
    for _ in range(300):
        if list(tmp_path.iterdir()):  # the hidden folder: the work is under way
            break
        time.sleep(0.1)
    assert list(tmp_path.iterdir())
    process.terminate()
    assert process.wait(timeout=60) == 143
    assert list(tmp_path.iterdir()) == []


def test_memory_that_cannot_be_had_is_said(
    capsys: pytest.CaptureFixture[str], chain: dict[str, Path], tmp_path: Path
) -> None:
    huge = ["--widths", *["200000"] * 5]
    text = output(capsys, "pretrain", "--store", chain["store"], "--run", tmp_path / "run", *huge, status=1)
    assert "out of memory" in text


def interrupt(*_arguments: Any) -> Any:
    raise KeyboardInterrupt


def test_generate_leaves_nothing_of_an_earlier_call(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    small = ("--size", 32, "--out", out)
    output(capsys, "generate", "noise", "--count", 5, *small)
    text = output(capsys, "generate", "noise", "--count", 2, *small, status=1)
    assert "holds 6 files of an earlier `plr-fast generate`; --overwrite replaces them" in text
    assert len(list(out.iterdir())) == 7
    (out / "mine.txt").write_text("")
    output(capsys, "generate", "noise", "--count", 2, *small, "--overwrite")
    assert sorted(path.name for path in out.iterdir()) == [
        "mine.txt", "noise_000000.png", "noise_000001.png", "overview.png", "settings.json",
    ]  # fmt: skip
    # One that fails half way has removed nothing, and what it left can be replaced.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("plr_fast.cli.generate.contact_sheet", interrupt)
        output(capsys, "generate", "noise", "--count", 4, *small, "--overwrite", status=130)
    assert (out / "noise_000003.png").is_file()
    output(capsys, "generate", "noise", "--count", 2, *small, "--overwrite")
    assert not (out / "noise_000003.png").exists()
    # One that fails at once has removed nothing.
    output(capsys, "generate", "noise", "--count", 1, *small, "--overwrite", "--cells", -1, status=1)
    assert (out / "noise_000001.png").is_file()
    (out / "settings.json").unlink()
    assert "not from `plr-fast generate`" in output(capsys, "generate", "noise", *small, "--overwrite", status=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--alpha", 0.2, 0.5), "alpha would have no effect: --blend replace knows no opacity"),
        (("--corruption", "gaussian", "--shape", "ellipse"), "shape would have no effect: --corruption gaussian"),
        (("--corruption", "shuffle", "--cells", 8), "--cells, --octaves, --persistence, --lacunarity) would have no"),
        (("--bank", "bank.npz", "--threshold", 100), "threshold would have no effect: the bank bank.npz is made"),
        (("--split", "test"), "split would have no effect: the phantom has none"),
        (("--store", "store", "--size", 32), "size would have no effect: a slice store has its own"),
    ],
)
def test_generate_refuses_options_without_effect(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, options: tuple[object, ...], message: str
) -> None:
    assert message in output(capsys, "generate", "lesions", "--out", tmp_path / "out", *options, status=1)
    assert not (tmp_path / "out").exists()


def test_fewer_slices_than_asked_for_are_said(
    chain: dict[str, Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    found = len(SliceStore.open(chain["store"]).select("val", 0))
    arguments = ("--store", chain["store"], "--split", "val", "--count", found + 3, "--patch", 2, 5)
    text = output(capsys, "generate", "lesions", "--out", tmp_path / "out", *arguments)
    assert f"only {found} of the {found + 3} slices asked for" in text
