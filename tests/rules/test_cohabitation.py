from __future__ import annotations

import pytest

from rldlib.rules.cohabitation import conflicts, demands_unmet
from rldlib.values.lock import LockedWheel
from rldlib.values.policy import Policy
from rldlib.values.presence import Presence
from rldlib.values.profile import Isolation, Life, Resource, ResourceProfile


def profile(**sections):
    return ResourceProfile(service="tax", version="1.0", **sections)


def wheel(name, version, sha256="a" * 64):
    return LockedWheel(
        name=name,
        version=version,
        filename=f"{name}-{version}-py3-none-any.whl",
        locator="",
        sha256=sha256,
        size=1,
    )


def test_a_plain_service_may_share_the_process():
    assert demands_unmet(profile(), Policy()) == ()


@pytest.mark.parametrize(
    ("asked", "policy", "told"),
    [
        pytest.param(
            {"resources": (Resource(name="key", kind="secret"),)}, Policy(), "secret key", id="a secret"
        ),
        pytest.param(
            {"resources": (Resource(name="key", kind="secret", required=False),)},
            Policy(),
            "secret key",
            id="an optional secret",
        ),
        pytest.param(
            {"resources": (Resource(name="form", kind="data", after_use="delete"),)},
            Policy(),
            "resource form",
            id="a resource to be deleted",
        ),
        pytest.param({"life": Life(after_use="delete")}, Policy(), "may stay", id="delete by its profile"),
        pytest.param({}, Policy(after_use="delete"), "may stay", id="delete by the host"),
        pytest.param({"isolation": Isolation(level="default")}, Policy(), "isolation default", id="isolated"),
        pytest.param({"isolation": Isolation(level="strict")}, Policy(), "isolation strict", id="strict"),
    ],
)
def test_what_only_a_process_of_its_own_can_give_is_named(asked, policy, told):
    (unmet,) = demands_unmet(profile(**asked), policy)

    assert told in unmet


def test_every_demand_is_named_at_once():
    asked = profile(life=Life(after_use="delete"), isolation=Isolation(level="strict"))

    assert len(demands_unmet(asked, Policy())) == 2


@pytest.mark.parametrize(
    ("had", "told"),
    [
        pytest.param("1.0", None, id="the same"),
        pytest.param("1.0.0", None, id="the same, written otherwise"),
        pytest.param("2.0", "x 2.0 (/host), the service pins 1.0", id="newer"),
        pytest.param("1.0+cpu", r"x 1.0+cpu (/host), the service pins 1.0", id="a local build"),
        pytest.param("", "x of an unknown version (/host)", id="unknown"),
    ],
)
def test_another_version_in_the_process_is_a_conflict(had, told):
    found = conflicts([wheel("x", "1.0")], {"x": Presence(version=had, where="/host")})

    assert [told in text for text in found] == ([True] if told else [])


def test_another_wheel_of_the_same_version_is_a_conflict():
    present = {"x": Presence(version="1.0", where="brought by the service tax", sha256="b" * 64)}

    (told,) = conflicts([wheel("x", "1.0")], present)

    assert told == "this process has x 1.0 from another wheel (brought by the service tax)"
    assert conflicts([wheel("x", "1.0", "b" * 64)], present) == ()


def test_every_conflict_is_named():
    present = {name: Presence(version="2", where="/host") for name in "xyz"}

    assert len(conflicts([wheel("x", "1"), wheel("y", "2"), wheel("z", "1"), wheel("w", "1")], present)) == 2
