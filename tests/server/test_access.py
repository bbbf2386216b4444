"""A token is known by its hash, is for its services alone, and is never told."""

from __future__ import annotations

import base64

import pytest

from rldlib.errors import UsageError
from rldlib.server.access import Access, read_tokens

ONE, ALL = "one-0123456789abcdef", "all-0123456789abcdef"


@pytest.fixture
def tokens(tmp_path):
    path = tmp_path / "tokens"
    path.write_text(f"# who may ask\n\n{ONE} echo, sales-tax\n{ALL} *\n")
    return path


def basic(token):
    return "Basic " + base64.b64encode(f"any:{token}".encode()).decode()


def test_a_token_is_for_the_services_of_its_line(tokens):
    access = read_tokens(tokens)
    for shown in (f"Bearer {ONE}", f"bearer  {ONE} ", basic(ONE)):
        scope = access.scope(shown)
        assert ["echo" in scope, "sales-tax" in scope, "other" in scope] == [True, True, False]
    assert "anything" in access.scope(f"Bearer {ALL}")


@pytest.mark.parametrize(
    "shown",
    [None, "", "Bearer", f"Bearer {ONE}x", f"Digest {ONE}", ONE, "Basic %%%", "Basic " + "A" * 7, basic("")],
)
def test_what_is_no_known_token_gives_nothing(tokens, shown):
    assert read_tokens(tokens).scope(shown) is None


def test_without_tokens_everybody_may_ask_for_everything():
    assert "echo" in Access().scope(None)


@pytest.mark.parametrize(
    ("text", "told"),
    [("short *\n", "line 1"), (f"{ONE}\n", "line 1"), (f"{ONE} UPPER\n", "line 1"), ("# none\n", "no token")],
)
def test_a_file_that_would_let_in_nobody_or_anybody_is_refused_without_telling_a_token(tmp_path, text, told):
    (tmp_path / "tokens").write_text(text)
    with pytest.raises(UsageError, match=told) as caught:
        read_tokens(tmp_path / "tokens")
    assert ONE not in str(caught.value)


def test_no_token_is_shown(tokens):
    access = read_tokens(tokens)
    for shown in (repr(access), str(access)):
        assert ONE not in shown
        assert ALL not in shown
