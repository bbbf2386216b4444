from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rldlib.errors import UsageError
from rldlib.values.join import MAX_MINIMUM, JoinString, parse_join

HEX = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "host", "port", "minimum", "here"),
    [
        (f"rldlib://pricing.internal:8443#root-sha256={HEX}&min=12", "pricing.internal", 8443, 12, False),
        (f"rldlib://Pricing.Internal:8443#root-sha256={HEX}", "pricing.internal", 8443, 1, False),
        (f"  rldlib://127.0.0.1:80#min=3&root-sha256={HEX}\n", "127.0.0.1", 80, 3, True),
        (f"rldlib://[2001:db8::1]:8443#root-sha256={HEX}&min=2", "2001:db8::1", 8443, 2, False),
        (f"rldlib://[::1]:8443#root-sha256={HEX}&min=2", "::1", 8443, 2, True),
        (f"rldlib://localhost:1#root-sha256={HEX}&min=1", "localhost", 1, 1, True),
        (f"rldlib://db_1:9#root-sha256={HEX}&min=1", "db_1", 9, 1, False),
    ],
)
def test_a_join_string_names_an_address_and_a_domain(text, host, port, minimum, here):
    join = parse_join(text)

    assert (join.host, join.port, join.root_sha256, join.minimum) == (host, port, HEX, minimum)
    assert join.is_loopback is here
    assert parse_join(str(join)) == join


def test_its_url_has_brackets_where_they_are_due():
    join = JoinString(host="::1", port=8443, root_sha256=HEX)

    assert join.url("https") == "https://[::1]:8443"
    assert join.address == "[::1]:8443"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "where rldlib:// must stand"),
        (f"https://host:1#root-sha256={HEX}", "'https' is where rldlib:// must stand"),
        (f"rldlib://me:hunter2@host:1#root-sha256={HEX}", "holds no credentials"),
        (f"rldlib://host:1/path#root-sha256={HEX}", "no path and no query"),
        (f"rldlib://host:1?q=1#root-sha256={HEX}", "no path and no query"),
        (f"rldlib://:1#root-sha256={HEX}", "names no host"),
        (f"rldlib://host#root-sha256={HEX}", "names no port"),
        (f"rldlib://host:0#root-sha256={HEX}", "port 0"),
        (f"rldlib://host:99999#root-sha256={HEX}", "cannot be read"),
        (f"rldlib://host:http#root-sha256={HEX}", "cannot be read"),
        (f"rldlib://[::1#root-sha256={HEX}", "cannot be read"),
        (
            f"rldlib://[fe80::1%25eth0]:1#root-sha256={HEX}",
            "an interface of one machine",
        ),
        (f"rldlib://ho st:1#root-sha256={HEX}", "no name of a host"),
        (f"rldlib://-host:1#root-sha256={HEX}", "no name of a host"),
        (f"rldlib://höst:1#root-sha256={HEX}", "no name of a host"),
        (f"rldlib://host:1#root-sha256={HEX.upper()}", "64 hexadecimal digits"),
        (f"rldlib://host:1#root-sha256={HEX[:-1]}", "is 63 characters"),
        (f"rldlib://host:1#root-sha256={HEX}\u0660", "is 65 characters"),
        ("rldlib://host:1", "names no root-sha256"),
        ("rldlib://host:1#min=3", "names no root-sha256"),
        (f"rldlib://host:1#root-sha256={HEX}&min=0", "min=0"),
        (f"rldlib://host:1#root-sha256={HEX}&min=-1", "no number"),
        (f"rldlib://host:1#root-sha256={HEX}&min=1e3", "no number"),
        (f"rldlib://host:1#root-sha256={HEX}&min=\u0663", "no number"),
        (f"rldlib://host:1#root-sha256={HEX}&min={MAX_MINIMUM + 1}", "1 to 281,474,976,710,656"),
        (f"rldlib://host:1#root-sha256={HEX}&min=1&min=2", "says min twice"),
        (f"rldlib://host:1#root-sha256={HEX}&token=abc", "nothing that a join string says"),
        (f"rldlib://host:1#root-sha256={HEX}&", "nothing that a join string says"),
        ("rldlib://" + "h" * 600, "609 characters"),
    ],
)
def test_each_fault_is_one_clear_refusal(text, fault):
    with pytest.raises(UsageError, match=fault) as told:
        parse_join(text)

    assert "hunter2" not in str(told.value)


@given(st.text(max_size=80))
def test_any_text_is_a_join_string_or_a_usage_error(text):
    for one in (text, f"rldlib://{text}#root-sha256={HEX}", f"rldlib://host:1#root-sha256={HEX}&{text}"):
        try:
            assert parse_join(str(parse_join(one))) == parse_join(one)
        except UsageError:
            continue
