"""Arrays: numpy's, and typed memoryviews where a process has no numpy.

This module is imported with the first array that travels, numpy itself only
where it is installed.
"""

from __future__ import annotations

import re
import sys
from math import prod

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Numbers, booleans, fixed-length text and bytes, instants. Objects and records never travel.
_DTYPE = re.compile(r"[<>|=][biufcSUMm][0-9]{1,9}(\[[0-9]{0,9}[A-Za-z]{1,8}\])?\Z")
_MAX_DIMENSIONS = 32
# The struct codes that mean the same as a dtype on this machine, for those without numpy.
_ORDER = "<" if sys.byteorder == "little" else ">"
_CODES = {"|b1": "?", "|i1": "b", "|u1": "B"} | {
    f"{_ORDER}{dtype}": code
    for dtype, code in {
        "i2": "h", "u2": "H", "i4": "i", "u4": "I", "i8": "q", "u8": "Q", "f2": "e", "f4": "f", "f8": "d",
    }.items()
}  # fmt: skip
# Of these, what every memoryview takes for numbers: half floats came late.
_CAST = _CODES.keys() - {f"{_ORDER}f2"}
_INTEGERS = {"b": "i", "h": "i", "i": "i", "l": "i", "q": "i", "n": "i",
             "H": "u", "I": "u", "L": "u", "Q": "u", "N": "u"}  # fmt: skip


def lower_array(value: Any) -> tuple[list[Any], memoryview]:
    """What says how to read the array (dtype, shape, order), and its bytes.

    Contiguous arrays are not copied.

    Raises:
        ValueError: It holds what does not travel; the message says what.
    """
    numpy = sys.modules["numpy"]
    dtype = value.dtype.str
    if (
        dtype in _CAST
        and type(value) is numpy.ndarray
        and value.ndim
        and value.nbytes
        and value.flags.c_contiguous
    ):
        return [dtype, list(value.shape), "C"], value.data.cast("B")
    if "numpy.ma" in sys.modules and isinstance(value, sys.modules["numpy.ma"].MaskedArray):
        raise ValueError("is a masked array; send its data and its mask")
    if not _DTYPE.match(dtype) or value.dtype.names is not None:
        raise ValueError(f"is an array of dtype {value.dtype}; numbers, text, bytes and instants travel")
    order = "F" if value.flags.f_contiguous and not value.flags.c_contiguous else "C"
    flat = numpy.ascontiguousarray(value.T if order == "F" else value).reshape(-1)
    data = memoryview(flat.view(numpy.uint8)) if flat.nbytes else memoryview(b"")
    return [dtype, list(value.shape), order], data


def lower_view(value: memoryview) -> tuple[list[Any], memoryview] | None:
    """The same for a memoryview of numbers; None where it is one of plain bytes."""
    kind = value.format.lstrip("@")
    if value.ndim == 1 and kind in {"B", "c", "<B"}:
        return None
    if kind in _INTEGERS:
        dtype = f"{_ORDER if value.itemsize > 1 else '|'}{_INTEGERS[kind]}{value.itemsize}"
    else:
        known = {code: dtype for dtype, code in _CODES.items()}
        dtype = known.get(kind, "|u1" if value.itemsize == 1 else "")
    if not dtype:
        raise ValueError(f"is a memoryview of format {value.format}; numbers and booleans travel")
    whole = value if value.c_contiguous else memoryview(value.tobytes())
    return [dtype, list(value.shape or ()), "C"], whole.cast("B") if value.nbytes else memoryview(b"")


def raise_array(described: list[Any], data: Any) -> Any:
    """The array over `data`, not copied; a memoryview where there is no numpy.

    Raises:
        ValueError: The parts do not fit together.
    """
    dtype, shape, order = described
    if type(dtype) is not str or (dtype not in _CODES and not _DTYPE.match(dtype)) or order not in {"C", "F"}:
        raise ValueError(f"an array of dtype {dtype!r:.40} and order {order!r:.10}")
    if type(shape) is not list or len(shape) > _MAX_DIMENSIONS:
        raise ValueError(f"an array of shape {shape!r:.80}")
    if any(type(extent) is not int or extent < 0 for extent in shape):
        raise ValueError(f"an array of shape {shape!r:.80}")
    try:
        import numpy as np
    except ImportError:
        return _view(dtype, shape, order, data)
    kind = np.dtype(dtype)
    size = memoryview(data).nbytes
    if prod(shape) * kind.itemsize != size:
        raise ValueError(f"an array of shape {shape} and dtype {dtype} in {size:,} bytes")
    if not size:
        return np.empty(shape, kind, order)
    return np.ndarray(shape, kind, data, order=order)


def _view(dtype: str, shape: list[int], order: str, data: Any) -> Any:
    view: Any = memoryview(data).cast("B")
    code = _CODES.get(dtype)
    # What a memoryview cannot say (text, complex, column order, nothing at all) comes as its bytes.
    if code is None or not view or (order == "F" and len(shape) > 1):
        return view
    return view.cast(code).cast("B").cast(code, shape)
