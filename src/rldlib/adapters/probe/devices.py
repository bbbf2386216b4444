"""Classes of devices that this host has, from sysfs.

A class says that such a device is there. Whether this user may open it is
for the service's own start to find out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from rldlib.adapters.probe.tree import Tree

# KEY_A and REL_X of linux/input-event-codes.h.
_KEY_A = 30
_REL_X = 0

# A class is there where any of its folders holds an entry whose name begins so.
_FOLDERS: tuple[tuple[str, str, str], ...] = (
    ("audio", "sys/class/sound", "card"),
    ("bluetooth", "sys/class/bluetooth", ""),
    ("display", "sys/class/graphics", "fb"),
    ("gpio", "sys/bus/gpio/devices", "gpiochip"),
    ("gpu", "sys/class/drm", "renderD"),
    ("gpu", "proc/driver/nvidia/gpus", ""),
    ("hid", "sys/class/hidraw", ""),
    ("i2c", "sys/class/i2c-dev", ""),
    ("kvm", "sys/class/misc", "kvm"),
    ("serial", "sys/class/tty", "ttyUSB"),
    ("serial", "sys/class/tty", "ttyACM"),
    ("serial", "sys/class/tty", "ttyAMA"),
    ("spi", "sys/class/spidev", ""),
    ("tpm", "sys/class/tpm", "tpm"),
    ("usb", "sys/bus/usb/devices", ""),
    ("video", "sys/class/video4linux", "video"),
)


def device_classes(tree: Tree) -> frozenset[str]:
    """Every class of which there is at least one device.

    Raises:
        OSError: A folder is there and cannot be read.
        ValueError: A file does not say what it should.
    """
    found = {name for name, folder, prefix in _FOLDERS if tree.names(folder, prefix)}
    found |= {name for name, is_there in _INQUIRIES.items() if is_there(tree)}
    return frozenset(found)


def _has_uart(tree: Tree) -> bool:
    """A ttyS stands for a possible port; type 0 says that there is no chip behind it."""
    ports = tree.names("sys/class/tty", "ttyS")
    return any((tree.find(f"sys/class/tty/{port}/type") or "0").strip() != "0" for port in ports)


def _has_screen(tree: Tree) -> bool:
    # card0-HDMI-A-1 is a connector of card0.
    connectors = [name for name in tree.names("sys/class/drm", "card") if "-" in name]
    return any((tree.find(f"sys/class/drm/{one}/status") or "").strip() == "connected" for one in connectors)


def _has_keyboard(tree: Tree) -> bool:
    return any(_bit(words, _KEY_A) for words in _capabilities(tree, "key"))


def _has_pointer(tree: Tree) -> bool:
    return any(_bit(words, _REL_X) for words in _capabilities(tree, "rel"))


def _has_haptics(tree: Tree) -> bool:
    return any(set(words) - {"0"} for words in _capabilities(tree, "ff"))


def _capabilities(tree: Tree, kind: str) -> list[list[str]]:
    """One bitmap for each input device: words in hex, the most significant first."""
    events = tree.names("sys/class/input", "event")
    return [
        (tree.find(f"sys/class/input/{event}/device/capabilities/{kind}") or "0").split() for event in events
    ]


def _bit(words: list[str], number: int) -> bool:
    # The kernel's words have at least 32 bits; the codes asked for lie below.
    return bool(int(words[-1], 16) >> number & 1)


_INQUIRIES: dict[str, Callable[[Tree], bool]] = {
    "serial": _has_uart,
    "display": _has_screen,
    "keyboard": _has_keyboard,
    "pointer": _has_pointer,
    "haptics": _has_haptics,
}
