"""What carrying a profile changes in RECORD, and what the wheel's entry points say."""

from __future__ import annotations

import pytest

from rldlib.rules.stamping import recorded, service_entries

PATH = "a-1.dist-info/rldlib.json"
# The hash of no bytes at all, as RECORD writes it.
ROW = f"{PATH},sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(
            "a.py,,\na-1.dist-info/RECORD,,\n", f"a.py,,\n{ROW}\na-1.dist-info/RECORD,,\n", id="new"
        ),
        pytest.param(
            f"{PATH},sha256=old,9\na.py,,\na-1.dist-info/RECORD,,\n",
            f"a.py,,\n{ROW}\na-1.dist-info/RECORD,,\n",
            id="again",
        ),
        pytest.param(
            '"a,b.py",,\r\na-1.dist-info/RECORD,,\r\n',
            f'"a,b.py",,\r\n{ROW}\r\na-1.dist-info/RECORD,,\r\n',
            id="quotes and line ends stay",
        ),
        pytest.param("a.py,,", f"a.py,,\n{ROW}\n", id="no row of its own, no last line end"),
        pytest.param("", f"{ROW}\n", id="empty"),
    ],
)
def test_record_gains_the_row_of_the_profile_and_keeps_the_others_as_written(before, after):
    assert recorded(before.encode(), PATH, b"") == after.encode()


@pytest.mark.parametrize(
    ("text", "names"),
    [
        pytest.param("[rldlib.services]\nsales-tax = a:B\n", ("sales-tax",), id="one"),
        pytest.param("[rldlib.services]\nA = a:B\nb=c:D [x]\n", ("A", "b"), id="two, as they are written"),
        pytest.param("[console_scripts]\na = a:b\n", (), id="another group"),
        pytest.param("", (), id="empty"),
    ],
)
def test_the_services_of_a_wheel_are_the_names_in_their_group(text, names):
    assert service_entries(text.encode()) == names


@pytest.mark.parametrize("text", [b"a = b\n", b"[a]\nb = 1\nb = 2\n", b"\xff", b"[a\n"])
def test_entry_points_that_are_none_are_refused(text):
    with pytest.raises(ValueError, match=r"\S"):
        service_entries(text)
