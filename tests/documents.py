"""Reads the project's documents: their links, their fragments, and the examples that tests run.

Run as a script it checks links and fragments; it needs the standard library only.
"""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
KINDS = ("added", "changed", "fixed", "removed", "security")
MAX_SUMMARY = 600

_FENCE = re.compile(
    r"^(?P<indent> *)(?P<fence>```+)(?P<info>[^\n`]*)\n(?P<text>.*?)^(?P=indent)(?P=fence) *$",
    re.MULTILINE | re.DOTALL,
)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_FRAGMENT = re.compile(r"^[a-z0-9-]+\.(?P<kind>[a-z]+)\.md$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block of a document.

    Attributes:
        language: ``console``, ``python``, ``toml`` ...
        title: The file it is the content of, from ``title=NAME``; else empty.
        text: What stands between the fences.
        line: Where it starts, for messages.
    """

    language: str
    title: str
    text: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One ``$ `` line of a console block, and what it is said to print."""

    line: str
    expected: str


def documents() -> list[Path]:
    """Every document for people, in the order of their names."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "changelog").glob("*.md")]
    found += (ROOT / "plugins").glob("*/README.md")
    return sorted(path for path in found if "_build" not in path.parts)


def blocks(document: Path) -> list[Block]:
    """The fenced blocks of a document, in order.

    The line before a block may say ``<!-- file: NAME -->``: the block is that file's content.
    """
    text = document.read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        before = text[: match.start()].rstrip("\n").rpartition("\n")[2]
        named = re.fullmatch(r"<!-- file: (\S+) -->", before.strip())
        found.append(
            Block(
                language=match["info"].strip().split(" ")[0],
                title=named[1] if named else "",
                text=match["text"],
                line=text.count("\n", 0, match.start()) + 1,
            )
        )
    return found


def commands(block: Block) -> list[Command]:
    """The commands of a console block, each with the lines up to the next one."""
    found: list[tuple[str, list[str]]] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif line.startswith("> ") and found and not found[-1][1]:
            found[-1] = (f"{found[-1][0]}\n{line[2:]}", [])
        elif found:
            found[-1][1].append(line)
    return [Command(line=line, expected="\n".join(expected).strip()) for line, expected in found]


def matches(expected: str, printed: str) -> bool:
    """Whether the output is what the document says; ``...`` stands for any text, spaces for any space.

    Every line that the document shows must come, in that order.
    """
    parts = [re.escape(" ".join(part.split())) for part in expected.split("...")]
    pattern = ".*?".join(part.replace(r"\ ", " ") for part in parts)
    return re.search(pattern, " ".join(printed.split()), re.DOTALL) is not None


def run(command: Command, folder: Path, environment: dict[str, str]) -> str:
    """Run a command of a document as a reader would; returns what it printed.

    Raises:
        AssertionError: It failed, or printed something else.
    """
    # The reader's shell: the one place where a shell is what is meant.
    done = subprocess.run(
        command.line,
        shell=True,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=300,
        check=False,
    )
    printed = done.stdout + done.stderr
    assert done.returncode == 0, f"$ {command.line}\nexited with {done.returncode}\n{printed}"
    assert matches(command.expected, printed), (
        f"$ {command.line}\nprinted\n{printed}\ninstead of\n{command.expected}"
    )
    return printed


def broken_links(document: Path) -> list[str]:
    """Links to files that are not there."""
    broken = []
    for match in _LINK.finditer(_FENCE.sub("", document.read_text(encoding="utf-8"))):
        target = match["target"].partition("#")[0]
        if not target or re.match(r"[a-z]+:", target):
            continue
        if not (document.parent / target).exists():
            broken.append(f"{document.relative_to(ROOT)}: {target} is not there")
    return broken


def faults_of_fragments() -> list[str]:
    """Changelog fragments that are not named ``NAME.KIND.md``, are empty, or are no summary."""
    faults = []
    for fragment in sorted((ROOT / "changelog").iterdir()):
        if fragment.name == "README.md":
            continue
        named = _FRAGMENT.match(fragment.name)
        if named is None or named["kind"] not in KINDS:
            faults.append(
                f"{fragment.relative_to(ROOT)}: name it NAME.KIND.md, KIND one of {', '.join(KINDS)}"
            )
        elif not 0 < len(fragment.read_text(encoding="utf-8").strip()) <= MAX_SUMMARY:
            faults.append(f"{fragment.relative_to(ROOT)}: say it in 1 to {MAX_SUMMARY} characters")
    return faults


def main() -> int:
    """Print every fault of the documents; 1 where there is one."""
    faults = [fault for document in documents() for fault in broken_links(document)] + faults_of_fragments()
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
