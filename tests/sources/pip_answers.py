"""Asks pip for many sets at once, in one process: its own start takes longer than most answers.

Run as a script: INDEX_URL PROVIDED_WHEEL FOLDER NAME...; writes FOLDER/NAME.json, pip's report,
where there is an answer.
"""

from __future__ import annotations

import sys

from pip._internal.cli.main import main


def ask(index_url: str, provided: str, folder: str, names: list[str]) -> None:
    options = [
        "--dry-run",
        "--ignore-installed",
        "--only-binary=:all:",
        "--isolated",
        "--no-input",
        "--no-cache-dir",
    ]
    options += ["--disable-pip-version-check", "--quiet", "--quiet", "--quiet", "--index-url", index_url]
    for name in names:
        main(["install", *options, f"--report={folder}/{name}.json", f"{name}==1.0", f"rldlib @ {provided}"])


if __name__ == "__main__":
    ask(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:])
