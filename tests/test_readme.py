"""What the README shows works as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from plr_fast.cli.main import COMMANDS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_python_example_runs() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["noise"].shape == (16, 512, 512)  # type: ignore[attr-defined]
    assert (names["pseudo"] != names["slices"]).any()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "document", sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").glob("*.md")), ids=lambda p: p.name
)
def test_links_lead_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)\)", text):
        if "://" not in target:
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_commands_and_options_in_documents_exist(capsys: pytest.CaptureFixture[str]) -> None:
    from plr_fast.cli.main import main

    texts = [README, *(path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md")))]
    lines = [line.split(" #")[0] for text in texts for line in text.replace("\\\n", " ").splitlines()]
    shown = [found.groups() for line in lines if (found := re.match(r"plr-fast (\w+)(.*)$", line))]
    assert shown
    for name, rest in shown:
        assert name in COMMANDS
        parts = rest.split()[:1] if name in ("config", "generate") else []  # they have commands of their own
        with pytest.raises(SystemExit):
            main([name, *parts, "--help"])
        text = capsys.readouterr().out
        for option in re.findall(r"--[a-z-]+", rest):
            assert option in text, f"plr-fast {name} has no option {option}"


def test_scripts_of_the_first_screen_exist() -> None:
    first_screen = "\n".join(README.splitlines()[:30])
    scripts = re.findall(r"^(tools/\S+\.sh)", first_screen, flags=re.MULTILINE)
    assert scripts == ["tools/demo.sh", "tools/test.sh"]
    for script in scripts:
        assert (ROOT / script).stat().st_mode & 0o111, f"{script} can be executed"
