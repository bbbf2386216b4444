"""Writes `profile.schema.json` anew, here and where the build backend carries its copy.

Run it after a change to the fields of a profile: ``python docs/reference/profile_schema.py``.
"""

from __future__ import annotations

from pathlib import Path

from rldlib.values.document import canonical, json_schema

HERE = Path(__file__).resolve().parent
PLACES = (
    HERE / "profile.schema.json",
    HERE.parents[1] / "plugins" / "rldlib-build" / "src" / "rldlib_build" / "profile.schema.json",
)

if __name__ == "__main__":
    for place in PLACES:
        place.write_bytes(canonical(json_schema()))
