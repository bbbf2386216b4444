"""Projects for tests, with a build backend of their own that needs nothing from anywhere."""

from __future__ import annotations

import textwrap

# Packs the package `rld_tax`; says what it does not have by not having the hook.
BACKEND = """
import base64, hashlib, pathlib, zipfile

INFO = "rld_tax-1.0.dist-info"


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    name = "rld_tax-1.0-py3-none-any.whl"
    members = {str(path): path.read_bytes() for path in sorted(pathlib.Path("rld_tax").rglob("*"))}
    members |= {f"{INFO}/{path}": text.encode() for path, text in info().items()}
    record = [f"{path},sha256={hashed(data)},{len(data)}" for path, data in members.items()]
    members[f"{INFO}/RECORD"] = "\\n".join([*record, f"{INFO}/RECORD,,", ""]).encode()
    with zipfile.ZipFile(pathlib.Path(wheel_directory, name), "w", zipfile.ZIP_DEFLATED) as wheel:
        for path, data in members.items():
            wheel.writestr(zipfile.ZipInfo(path, (2020, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)
    return name


def build_sdist(sdist_directory, config_settings=None):
    pathlib.Path(sdist_directory, "rld_tax-1.0.tar.gz").write_bytes(b"")
    return "rld_tax-1.0.tar.gz"


def info():
    return {
        "METADATA": "Metadata-Version: 2.1\\nName: RLD_Tax\\nVersion: 1.0\\nSummary: Sales tax \\u00e0 la carte\\n",
        "WHEEL": "Wheel-Version: 1.0\\nGenerator: tests\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
        "entry_points.txt": "[rldlib.services]\\ntax = rld_tax:Tax\\n",
    }


def hashed(data):
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
"""
# The hooks that a backend may lack.
MORE_HOOKS = """

def get_requires_for_build_wheel(config_settings=None):
    return ["something"]


def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    folder = pathlib.Path(metadata_directory, INFO)
    folder.mkdir()
    for name, text in info().items():
        (folder / name).write_text(text, encoding="utf-8")
    return INFO


def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    return build_wheel(wheel_directory, config_settings, metadata_directory)
"""


def make_project(folder, tables, *, backend=BACKEND, system='build-backend = "backend"', files=None):
    """Write a project of the distribution ``RLD_Tax`` 1.0 and return its folder."""
    (folder / "rld_tax").mkdir(parents=True)
    (folder / "rld_tax" / "__init__.py").write_text("class Tax: ...\n", encoding="utf-8")
    (folder / "backend.py").write_text(backend, encoding="utf-8")
    build_system = f'[build-system]\nrequires = []\n{system}\nbackend-path = ["."]\n'
    text = build_system + textwrap.dedent(tables)
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")
    for name, content in (files or {}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder
