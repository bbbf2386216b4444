"""In which order resources are put in place."""

from __future__ import annotations

from graphlib import TopologicalSorter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rldlib.values.profile import Resource


def in_order(resources: Sequence[Resource]) -> tuple[Resource, ...]:
    """Each resource after all that it requires; otherwise as the author wrote them.

    Parsing has made sure that the names exist and form no cycle.
    """
    by_name = {resource.name: resource for resource in resources}
    graph = {resource.name: resource.requires for resource in resources}
    return tuple(by_name[name] for name in TopologicalSorter(graph).static_order())
