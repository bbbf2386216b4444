"""The page of the documentation, made of what was measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_HEAD = """\
# Benchmarks

<!-- Made by `nox -s bench`; whatever is changed here by hand is lost. -->

What rldlib takes beside what people use today, in one run on one machine. `nox -s bench` measures and writes this page.

## The machine

{machine}.

## How

- Each contestant has its turn in each round, whoever begins moves on by one, and what others left to be written is
  written before a turn begins. There are {rounds} rounds. A figure is the median, with the least and the most in brackets. A ratio is
  taken round by round; its median is shown. All processes are held to the same {processors_used} processors.
- The index is `rld index` on loopback, in a process of its own, for everybody. `small` is a service that requires pluggy,
  attrs, python-dateutil and six{tzdata}; `numpy` one that requires numpy.
- A start ends with the first result: rldlib's with the reply to the first call, the others' with the end of
  `ENV/bin/python -c "import MODULE"`, of the tool's command, or with the value that isolate gives. rldlib's and isolate's begin in a
  process that has imported them, as libraries do; rows of their own tell what `rld call` takes, from the start of its process to its end.
- Empty caches: nothing is left of the service. Caches warm: fetched and unpacked, and no environment. Environment there: it ran before.
  With its caches warm, rldlib also keeps the bytecode of what was imported before, which it made behind an earlier start, after the first
  result; at the peers an environment that is made anew compiles what it imports.
  Scores, interpreters' answers and skeletons, facts of the host, are kept throughout, as are virtualenv's.
- With a lock, `uv pip sync` reads the very `pylock.toml` that rldlib wrote; uvx, isolate and virtualenv with pip resolve.
- rldlib flushes wheels, locks and profiles to the disk before a start is over, looks into every wheel before it is used, and
  compares every byte with its hash on the way into an environment. It copies, where uv links.
- Calls are from one thread, unless it is said otherwise; the raw socket sends the same bytes and does nothing with them.

Peers: {peers}.

## Figures

| | rldlib | beside | ratio | to reach | |
|---|---|---|---|---|---|
{table}

"""
_TAIL = """\
## All figures

{figures}
"""


def page(results: Mapping[str, Any]) -> str:
    """The document."""
    told = results["machine"]
    machine = (
        f"{told['system']}, {told['architecture']}, {told['processor']}, {told['processors']} processors, "
        f"{told['memory_gib']} GiB of memory, {told['file_system']}, CPython {told['python']}; "
        f"load before the run {told['load_before']}"
    )
    rows = results["rows"]
    text = _HEAD.format(
        machine=machine,
        rounds=results["rounds"],
        processors_used=told["processors_used"],
        tzdata=f", {results['wheels']} wheels in all" if results.get("wheels") else "",
        peers=", ".join(f"{name} {version}" for name, version in results["peers"].items()),
        table="\n".join(_line(row) for row in rows),
    )
    missed = [row for row in rows if row["met"] is False and row["holds"]]
    if missed:
        text += "What holds what is missed:\n\n"
        text += "\n".join(f"- {row['title']}: {row['holds']}." for row in missed) + "\n\n"
    return text + _TAIL.format(figures="\n\n".join(_figures(row) for row in rows))


def table(rows: Iterable[Mapping[str, Any]]) -> str:
    """The rows for a terminal."""
    return "\n".join(f"{row['name']:<24} {_plain(row)}" for row in rows)


def _plain(row: Mapping[str, Any]) -> str:
    ratio = f"{row['ratio']['median']:6.2f} x" if row["ratio"] else "        "
    return f"{_figure(row, row['ours']):<34} {_beside(row):<44} {ratio}  {_target(row):<10} {_verdict(row)}"


def _line(row: Mapping[str, Any]) -> str:
    ratio = f"{row['ratio']['median']:.2f}" if row["ratio"] else ""
    cells = [row["title"], _figure(row, row["ours"]), _beside(row), ratio, _target(row), _verdict(row)]
    return f"| {' | '.join(cells)} |"


def _figure(row: Mapping[str, Any], who: str) -> str:
    taken = row["figures"][who]
    numbers = [_number(taken[name]) for name in ("median", "least", "most")]
    spread = f" ({numbers[1]} to {numbers[2]})" if taken["rounds"] > 1 else ""
    return f"{numbers[0]} {row['unit']}{spread}"


def _beside(row: Mapping[str, Any]) -> str:
    return f"{row['against']}: {_figure(row, row['against'])}" if row["against"] else ""


def _target(row: Mapping[str, Any]) -> str:
    if row["target"] is None:
        return ""
    sign = ">=" if row["more_is_better"] else "<="
    return f"{sign} {_number(row['target'])}" + (" x" if row["ratio"] else f" {row['unit']}")


def _verdict(row: Mapping[str, Any]) -> str:
    if row["met"] is None:
        return ""
    return "met" if row["met"] else f"missed by {row['missed_by']:.0%}"


def _number(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def _figures(row: Mapping[str, Any]) -> str:
    told = "; ".join(f"{who} {_figure(row, who)}" for who in row["figures"])
    facts = "; ".join(f"{name.replace('_', ' ')}: {_fact(value)}" for name, value in row["facts"].items())
    return f"**{row['title']}**: {told}." + (f" {facts[0].upper()}{facts[1:]}." if facts else "")


def _fact(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_fact(inner)}" for name, inner in value.items())
    if isinstance(value, list):
        return " against ".join(map(_fact, value))
    return _number(value) if isinstance(value, float) else str(value)
