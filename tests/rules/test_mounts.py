from __future__ import annotations

import pytest

from rldlib.rules.mounts import local_locks

HEAD = "26 1 8:1 / / rw,relatime shared:1 - ext4 /dev/root rw,errors=remount-ro\n"


@pytest.mark.parametrize(
    ("system", "told"),
    [
        pytest.param("nfs4 server:/x rw,vers=4.2,local_lock=none", None, id="nfs with locks"),
        pytest.param("nfs server:/x rw,nolock,local_lock=all", "local_lock=all, nolock", id="nfs without"),
        pytest.param("nfs4 server:/x rw,local_lock=flock", "local_lock=flock", id="flock kept local"),
        pytest.param("nfs server:/x rw,local_lock=posix", None, id="other locks kept local"),
        pytest.param("cifs //server/x rw,nobrl", "cifs mounted with nobrl", id="cifs without"),
        pytest.param("ext4 /dev/sda1 rw,nolock", None, id="a local disk"),
        pytest.param("tmpfs tmpfs rw", None, id="memory"),
    ],
)
def test_locks_that_stay_on_one_host_are_told_by_how_it_is_mounted(system, told):
    mounts = f"{HEAD}40 26 0:45 / /home rw,relatime shared:7 master:1 - {system}\n"

    found = local_locks(mounts, "0:45")

    assert found is None if told is None else told in found
    assert local_locks(mounts, "8:1") is None
    assert local_locks(mounts, "9:9") is None


@pytest.mark.parametrize("mounts", ["", "\n", "x", "1 2 0:45", "1 2 0:45 / / rw - ", "1 2 0:45 / / rw - nfs"])
def test_what_is_no_table_of_mounts_tells_nothing(mounts):
    assert local_locks(mounts, "0:45") is None
