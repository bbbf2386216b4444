from __future__ import annotations

from dataclasses import replace

from rldlib.values.lock import Lock, LockedWheel

_WHEEL = LockedWheel(
    name="acme-tax",
    version="1.0",
    filename="acme_tax-1.0-py3-none-any.whl",
    locator="/a",
    sha256="ab" * 32,
    size=10,
)
_LOCK = Lock(
    service="tax",
    version="1.0",
    distribution="acme-tax",
    source="/a",
    interpreter="cpython-3.11.7-linux-x86_64",
    wheels=(_WHEEL,),
)


def test_a_lock_is_known_by_what_is_installed_not_by_where_it_came_from():
    elsewhere = replace(_LOCK, source="/b", wheels=(replace(_WHEEL, locator="/b"),))

    assert elsewhere.digest == _LOCK.digest
    assert replace(_LOCK, wheels=(replace(_WHEEL, sha256="cd" * 32),)).digest != _LOCK.digest
    assert replace(_LOCK, interpreter="cpython-3.12.1-linux-x86_64").digest != _LOCK.digest


def test_a_lock_knows_its_carrier_and_what_fetching_costs():
    lock = replace(_LOCK, wheels=(_WHEEL, replace(_WHEEL, name="dep", size=5)))

    assert lock.carrier is _WHEEL
    assert lock.download_bytes == 15
