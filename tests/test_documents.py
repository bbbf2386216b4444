"""What the documents say is true: links, command lines, and examples that run."""

from __future__ import annotations

import ast
import os
import re
import sys
import tomllib
from decimal import Decimal
from importlib import resources
from pathlib import Path

import pytest

from tests import documents
from tests.documents import ROOT, Block, Command

README = ROOT / "README.md"
TUTORIAL = ROOT / "docs" / "tutorial" / "first-service.md"


def _label(document):
    return str(document.relative_to(ROOT))


@pytest.mark.parametrize("document", documents.documents(), ids=_label)
def test_links_lead_somewhere(document):
    assert documents.broken_links(document) == []


@pytest.mark.parametrize("document", documents.documents(), ids=_label)
def test_python_in_documents_parses(document):
    for block in documents.blocks(document):
        if block.language == "python":
            ast.parse(block.text, filename=f"{_label(document)}:{block.line}")


def test_changelog_fragments_are_named_and_short():
    assert documents.faults_of_fragments() == []


def test_the_continuous_integration_runs_the_second_command_line_of_the_readme():
    lines = [
        block.text.strip()
        for block in documents.blocks(README)
        if block.language == "console" and block.text.startswith("python3.11 -m venv")
    ]
    assert len(lines) == 2
    assert all("\n" not in line for line in lines)
    assert lines[0].endswith("rld demo")
    assert lines[1].endswith("nox")
    assert lines[1] in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()


def test_every_dependency_has_its_reason():
    """Each row of the page is a dependency, and each dependency has a row."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    required = {_name(one) for one in [*project["dependencies"], *extras["cli"], *extras["server"]]}
    page = (ROOT / "docs" / "explanation" / "dependencies.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"^\| ([a-z0-9-]+) \|", page, re.MULTILINE)) - {"dependency"}
    assert explained == required


def _name(requirement):
    return re.match(r"[A-Za-z0-9._-]+", requirement)[0].lower()


def test_every_decision_is_listed_and_has_its_four_parts():
    folder = ROOT / "docs" / "decisions"
    listed = re.findall(
        r"^(\d{4}-[a-z0-9-]+)$", (folder / "index.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert listed == sorted(path.stem for path in folder.glob("[0-9]*.md"))
    for name in listed:
        headings = re.findall(r"^## (.+)$", (folder / f"{name}.md").read_text(encoding="utf-8"), re.MULTILINE)
        assert headings == ["Context", "Options rejected", "Decision", "Consequences"]


def test_the_reference_names_every_command():
    from rldlib.cli.main import COMMANDS

    page = (ROOT / "docs" / "reference" / "command-line.md").read_text(encoding="utf-8")
    listed = page.partition("## Commands")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `([a-z]+)[ `]", listed, re.MULTILINE) == list(COMMANDS)


def test_the_author_of_the_readme_can_test_the_service_in_place(tmp_path, monkeypatch):
    (block,) = [one for one in documents.blocks(README) if one.title == "sales_tax.py"]
    (tmp_path / "sales_tax_of_readme.py").write_text(block.text)
    monkeypatch.syspath_prepend(tmp_path)
    import sales_tax_of_readme

    service = sales_tax_of_readme.SalesTax()
    service.rates = {"WA": "0.065"}
    assert service.tax("WA", Decimal("19.99")) == Decimal("1.30")


@pytest.mark.e2e
@pytest.mark.slow
def test_the_caller_of_the_readme_runs(tmp_path):
    (block,) = [one for one in documents.blocks(README) if one.title == "caller.py"]
    (tmp_path / "caller.py").write_text(block.text)
    with resources.as_file(resources.files("rldlib.cli") / "demo") as wheels:
        (tmp_path / "dist").symlink_to(wheels, target_is_directory=True)
        said = documents.run(
            Command(line="python caller.py", expected="local ..."), tmp_path, reader(tmp_path)
        )
    assert "21.29" in said


@pytest.mark.e2e
@pytest.mark.network
@pytest.mark.slow
def test_the_tutorial_runs_as_it_is_written(tmp_path):
    """Every file is written and every command is run, in the order of the text; each prints what it says."""
    for block in documents.blocks(TUTORIAL):
        if block.title:
            path = tmp_path / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
        elif block.language == "console":
            for command in documents.commands(block):
                documents.run(command, tmp_path, reader(tmp_path))


def reader(folder):
    """The environment of a reader who installed rldlib where these tests run."""
    scripts = str(Path(sys.executable).parent)
    return {
        **os.environ,
        "PATH": os.pathsep.join((scripts, os.environ.get("PATH", os.defpath))),
        "RLDLIB_ROOT": str(folder / "root"),
        "RLDLIB_HOST_DIR": str(folder / "host"),
    }


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        pytest.param("", "anything", True, id="nothing is said"),
        pytest.param("a b", "first\na   b\nlast\n", True, id="spaces and other lines do not matter"),
        pytest.param("pid: ...}", "pid: 123}", True, id="an ellipsis stands for any text"),
        pytest.param("a ... b", "b a", False, id="order matters"),
        pytest.param("1.10", "1x10", False, id="a dot is a dot"),
    ],
)
def test_output_is_compared_loosely(expected, printed, same):
    assert documents.matches(expected, printed) is same


def test_a_console_block_is_read_as_commands_with_their_output():
    block = Block(language="console", title="", text="$ first\nout\nmore\n$ second\n> goes on\n", line=1)
    assert documents.commands(block) == [
        Command(line="first", expected="out\nmore"),
        Command(line="second\ngoes on", expected=""),
    ]
