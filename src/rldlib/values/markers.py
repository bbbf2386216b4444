"""Markers are read one at a time.

packaging reads the strings in a marker with `ast.literal_eval`, and CPython up
to 3.11 loses count of its depth where two threads build syntax trees at once:
``SystemError: AST constructor recursion depth mismatch`` (gh-106905).
"""

from __future__ import annotations

import threading

READING = threading.Lock()
