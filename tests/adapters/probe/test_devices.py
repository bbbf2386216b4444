"""Device classes and GPU memory, from folders that look like the kernel's."""

from __future__ import annotations

import pytest

from rldlib.adapters.probe.devices import device_classes
from rldlib.adapters.probe.gpus import gpu_memory
from rldlib.adapters.probe.tree import Tree

A_KEYBOARD = "402000000 3803078f800d001 feffffdfffefffff fffffffffffffffe\n"
A_POWER_BUTTON = "10000000000000 0\n"


@pytest.fixture
def host(tmp_path):
    def build(files):
        for path, text in files.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text)
        return Tree(str(tmp_path))

    return build


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({}, set()),
        ({"sys/bus/usb/devices/1-1/idVendor": ""}, {"usb"}),
        ({"sys/class/tty/ttyUSB0/dev": ""}, {"serial"}),
        ({"sys/class/tty/ttyS0/type": "4\n"}, {"serial"}),
        ({"sys/class/tty/ttyS0/type": "0\n"}, set()),
        ({"sys/class/i2c-dev/i2c-1/dev": ""}, {"i2c"}),
        ({"sys/class/spidev/spidev0.0/dev": ""}, {"spi"}),
        ({"sys/class/video4linux/video0/dev": ""}, {"video"}),
        ({"sys/class/sound/card0/id": "", "sys/class/sound/seq": ""}, {"audio"}),
        ({"sys/class/sound/timer": ""}, set()),
        ({"sys/class/drm/renderD128/dev": ""}, {"gpu"}),
        ({"proc/driver/nvidia/gpus/0000:01:00.0/information": ""}, {"gpu"}),
        ({"sys/class/drm/card0-HDMI-A-1/status": "connected\n"}, {"display"}),
        ({"sys/class/drm/card0-HDMI-A-1/status": "disconnected\n"}, set()),
        ({"sys/class/input/event3/device/capabilities/key": A_KEYBOARD}, {"keyboard"}),
        ({"sys/class/input/event3/device/capabilities/key": A_POWER_BUTTON}, set()),
        ({"sys/class/input/event4/device/capabilities/rel": "903\n"}, {"pointer"}),
        ({"sys/class/input/event5/device/capabilities/ff": "107030000 0\n"}, {"haptics"}),
        ({"sys/class/input/event5/device/capabilities/ff": "0\n"}, set()),
    ],
    ids=lambda value: next(iter(value), "nothing") if isinstance(value, dict) else "",
)
def test_a_class_is_there_where_a_device_of_it_is(host, files, found):
    assert device_classes(host(files)) == found


def test_memory_of_the_largest_gpu_counts(host):
    drm = "sys/class/drm"
    tree = host(
        {
            f"{drm}/card0/device/mem_info_vram_total": "1000\n",
            f"{drm}/card0/device/mem_info_vram_used": "900\n",
            f"{drm}/card1/device/mem_info_vram_total": "500\n",
            f"{drm}/card1/device/mem_info_vram_used": "100\n",
            f"{drm}/card1-DP-1/status": "disconnected\n",
        }
    )
    assert gpu_memory(tree) == 400


def test_no_gpu_has_no_memory(host):
    assert gpu_memory(host({})) is None


def test_a_driver_that_does_not_tell_is_told(host, monkeypatch):
    tree = host({"proc/driver/nvidia/gpus/0000:01:00.0/information": ""})

    def refuse(name):
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr("ctypes.CDLL", refuse)
    with pytest.raises(OSError, match="libnvidia-ml"):
        gpu_memory(tree)


class Library:
    """What the NVIDIA library answers on a host with two GPUs; no test machine need have one."""

    free = (300, 700)

    def __init__(self, status=0):
        self.status, self.was_shut_down = status, False

    def nvmlInit_v2(self):  # noqa: N802 - the library's name
        return 0

    def nvmlShutdown(self):  # noqa: N802 - the library's name
        self.was_shut_down = True

    def nvmlDeviceGetCount_v2(self, count):  # noqa: N802 - the library's name
        count._obj.value = len(self.free)
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, index, device):  # noqa: N802 - the library's name
        device._obj.value = index.value + 1
        return 0

    def nvmlDeviceGetMemoryInfo(self, device, memory):  # noqa: N802 - the library's name
        memory._obj.free = self.free[device.value - 1]
        return self.status


def test_nvidia_gpus_tell_by_their_library(host, monkeypatch):
    library = Library()
    monkeypatch.setattr("ctypes.CDLL", lambda name: library)
    assert gpu_memory(host({"proc/driver/nvidia/gpus/0000:01:00.0/information": ""})) == 700
    assert library.was_shut_down


def test_a_library_that_refuses_is_told(host, monkeypatch):
    library = Library(status=15)
    monkeypatch.setattr("ctypes.CDLL", lambda name: library)
    with pytest.raises(OSError, match="status 15"):
        gpu_memory(host({"proc/driver/nvidia/gpus/0000:01:00.0/information": ""}))
    assert library.was_shut_down
