"""How Sphinx builds the documentation: ``nox -s docs``."""

from __future__ import annotations

project = "rldlib"
author = "The rldlib authors"
copyright = "The rldlib authors"
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "rldlib"
myst_heading_anchors = 3
nitpicky = True
