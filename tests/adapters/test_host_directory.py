"""Where facts of the host lie."""

from __future__ import annotations

from pathlib import Path

from rldlib.adapters.host_directory import host_directory


def test_the_environment_names_the_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("RLDLIB_HOST_DIR", str(tmp_path / "host"))
    assert host_directory() == tmp_path / "host"
    assert not (tmp_path / "host").exists()


def test_without_a_name_it_lies_where_the_platform_keeps_state(monkeypatch, tmp_path):
    monkeypatch.delenv("RLDLIB_HOST_DIR")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    found = host_directory()
    assert found.name == "rldlib"
    assert tmp_path in found.parents or Path.home() in found.parents
