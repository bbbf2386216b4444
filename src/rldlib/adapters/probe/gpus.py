"""Free memory of the largest GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rldlib.adapters.probe.tree import Tree


def gpu_memory(tree: Tree) -> int | None:
    """Free memory of the largest GPU, in bytes; None where no GPU tells of any.

    Raises:
        OSError: A driver is there and does not tell.
        ValueError: As OSError.
    """
    free = []
    for card in tree.names("sys/class/drm", "card"):
        total = tree.find(f"sys/class/drm/{card}/device/mem_info_vram_total")
        if total is not None:
            free.append(int(total) - int(tree.read(f"sys/class/drm/{card}/device/mem_info_vram_used")))
    if tree.names("proc/driver/nvidia/gpus"):
        # ctypes costs more than all other readings together: only where there is a driver.
        from rldlib.adapters.probe.nvml import free_memory

        free += free_memory()
    return max(free, default=None)
