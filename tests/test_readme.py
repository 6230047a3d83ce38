"""The README says what the code does."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


def test_first_block_sets_up_and_ends_with_the_demo_cube():
    lines = blocks("bash")[0].splitlines()
    assert lines[1] == "pip install ."
    assert "cube build --event demo" in lines


def test_second_block_sets_up_and_runs_the_tests():
    lines = blocks("bash")[1].splitlines()
    assert lines[1] == 'pip install -e ".[dev]"'
    assert lines[-1] == "pytest"


def test_every_file_named_exists():
    named = re.findall(r"`((?:tests|cube|examples|catalogs)/[\w/.]+)`", README)
    named += re.findall(r"\]\((examples/[\w.]+)\)", README)
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_command_and_option_exists(cube_command):
    for command in sorted(
        set(
            re.findall(
                r"`?cube (build|plan|coherence|infer|info|quicklook|train|verify|simulate)\b",
                README,
            )
        )
    ):
        assert cube_command(command, "--help").fine().out
    options = set(re.findall(r"(--[a-z]+(?:-[a-z]+)*)", " ".join(blocks("bash"))))
    known = cube_command("build", "--help").fine().out + cube_command("events", "--help").fine().out
    known += cube_command("benchmark", "sar", "--help").fine().out
    for words in (("simulate",), ("infer",), ("verify",), ("benchmark", "uncertainty")):
        known += cube_command(*words, "--help").fine().out
    assert {option for option in options if option not in known} == set()


def test_python_block_runs(demo, monkeypatch):
    monkeypatch.chdir(demo.cube.parent)
    names: dict[str, object] = {}
    exec(blocks("python")[0], names)
    assert names["ds"].sizes["time"] == 11


def test_own_event_is_well_formed(tmp_path):
    from cube.catalog import load_event

    toml = re.search(r"<<'TOML'\n(.*?)TOML", README, re.S)
    path = tmp_path / "myflood.toml"
    path.write_text(toml[1])
    assert load_event(str(path)).aoi(None).name == "town"


@pytest.mark.filterwarnings("ignore::pytest.PytestAssertRewriteWarning")
def test_chip_table_is_what_the_code_gives(data_dir, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "benchmarks"))
    monkeypatch.syspath_prepend(str(ROOT / "tests"))
    from test_water_chips import readme_table

    stated = re.search(r"<!-- chips: begin -->\n(.*?)\n<!-- chips: end -->", README, re.S)
    assert stated[1] == readme_table(data_dir)
    assert "test_water_chips" in sys.modules
