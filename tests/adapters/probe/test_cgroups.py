"""Limits of control groups, read from folders that look like the kernel's."""

from __future__ import annotations

import pytest

from rldlib.adapters.probe.cgroups import Cgroups
from rldlib.adapters.probe.tree import Tree

V2_MOUNT = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
V1_MOUNTS = (
    "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "33 31 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "34 31 0:31 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
)
V1_GROUPS = "5:memory:/a/b\n3:cpu,cpuacct:/a\n1:name=systemd:/\n0::/x\n"


@pytest.fixture
def host(tmp_path):
    def build(files):
        for path, text in files.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text)
        return Cgroups(Tree(str(tmp_path)))

    return build


def test_a_host_without_control_groups_has_no_limits(host):
    groups = host({})
    assert groups.memory_levels() == []
    assert groups.quota_threads() is None


def test_every_ancestor_of_a_version_2_group_counts(host):
    groups = host(
        {
            "proc/self/mountinfo": V2_MOUNT,
            "proc/self/cgroup": "0::/outer/inner\n",
            "sys/fs/cgroup/outer/inner/memory.max": "max\n",
            "sys/fs/cgroup/outer/inner/cpu.max": "max 100000\n",
            "sys/fs/cgroup/outer/memory.max": "1000\n",
            "sys/fs/cgroup/outer/memory.high": "900\n",
            "sys/fs/cgroup/outer/memory.current": "500\n",
            "sys/fs/cgroup/outer/memory.stat": "anon 300\ninactive_file 120\nactive_file 80\n",
            "sys/fs/cgroup/outer/cpu.max": "150000 100000\n",
        }
    )
    (level,) = groups.memory_levels()
    assert (level.limit_bytes, level.used_bytes) == (900, 380)
    assert "outer" in level.name
    assert groups.quota_threads() == 1.5


def test_version_1_groups_are_read_where_their_controller_is_mounted(host):
    groups = host(
        {
            "proc/self/mountinfo": V1_MOUNTS,
            "proc/self/cgroup": V1_GROUPS,
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "2000\n",
            "sys/fs/cgroup/memory/a/memory.usage_in_bytes": "700\n",
            "sys/fs/cgroup/memory/a/memory.stat": "inactive_file 1\ntotal_inactive_file 200\n",
            "sys/fs/cgroup/memory/a/b/memory.limit_in_bytes": "1000\n",
            "sys/fs/cgroup/memory/a/b/memory.usage_in_bytes": "100\n",
            "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us": "50000\n",
            "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        }
    )
    assert [(one.limit_bytes, one.used_bytes) for one in groups.memory_levels()] == [(1000, 100), (2000, 500)]
    assert groups.quota_threads() == 0.5


@pytest.mark.parametrize("path", ["/docker/1", "/../elsewhere", "/docker/10"])
def test_a_container_sees_its_own_group_as_the_root(host, path):
    groups = host(
        {
            "proc/self/mountinfo": V2_MOUNT.replace(" / /sys", " /docker/1 /sys"),
            "proc/self/cgroup": f"0::{path}\n",
            "sys/fs/cgroup/memory.max": "1000\n",
            "sys/fs/cgroup/memory.current": "10\n",
        }
    )
    assert [one.limit_bytes for one in groups.memory_levels()] == [1000]


def test_a_limit_that_is_no_number_is_told_not_ignored(host):
    groups = host(
        {
            "proc/self/mountinfo": V2_MOUNT,
            "proc/self/cgroup": "0::/\n",
            "sys/fs/cgroup/memory.max": "plenty\n",
            "sys/fs/cgroup/cpu.max": "1000 0\n",
        }
    )
    with pytest.raises(ValueError, match="plenty"):
        groups.memory_levels()
    with pytest.raises(ValueError, match="period"):
        groups.quota_threads()


def test_a_group_whose_use_cannot_be_read_is_told_not_ignored(host):
    groups = host(
        {
            "proc/self/mountinfo": V2_MOUNT,
            "proc/self/cgroup": "0::/\n",
            "sys/fs/cgroup/memory.max": "1000\n",
        }
    )
    with pytest.raises(FileNotFoundError):
        groups.memory_levels()
