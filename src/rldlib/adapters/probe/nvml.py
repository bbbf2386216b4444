"""Memory of NVIDIA GPUs, by the driver's own library: /proc tells their model, but no memory."""

from __future__ import annotations

import ctypes


class _NvmlMemory(ctypes.Structure):
    """``nvmlMemory_t``."""

    _fields_ = (
        ("total", ctypes.c_ulonglong),
        ("free", ctypes.c_ulonglong),
        ("used", ctypes.c_ulonglong),
    )


def free_memory() -> list[int]:
    """Free memory of each GPU, in bytes.

    Raises:
        OSError: The library is not there, or refuses.
    """
    nvml = ctypes.CDLL("libnvidia-ml.so.1")
    count, device, memory = ctypes.c_uint(), ctypes.c_void_p(), _NvmlMemory()
    _check(nvml.nvmlInit_v2())
    try:
        _check(nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)))
        free = []
        for index in range(count.value):
            _check(nvml.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(index), ctypes.byref(device)))
            _check(nvml.nvmlDeviceGetMemoryInfo(device, ctypes.byref(memory)))
            free.append(int(memory.free))
        return free
    finally:
        nvml.nvmlShutdown()


def _check(status: int) -> None:
    if status != 0:
        raise OSError(f"the NVIDIA management library answered with status {status}")
