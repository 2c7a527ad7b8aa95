"""Cases that name several publications, families or patients: what they are linked to by any chain of cases."""

from __future__ import annotations

from collections.abc import Collection, Iterable


def unit_names(groups: Iterable[Collection[str]]) -> list[str]:
    """For each case, the name of its unit.

    Two cases are of one unit if they share a group, or are linked by a chain of cases that do. A unit is called by the
    shortest, and then alphabetically first, name of its groups, so the order of cases plays no part.

    Args:
        groups: of each case, one or more.
    """
    above: dict[str, str] = {}  # group → a group of the same unit whose name comes first; the unit's name → itself

    def unit(group: str) -> str:
        while above.setdefault(group, group) != group:
            above[group] = group = above[above[group]]
        return group

    firsts = []
    for own in groups:
        names = sorted({unit(group) for group in own}, key=lambda name: (len(name), name))
        above.update(dict.fromkeys(names, names[0]))
        firsts.append(names[0])
    return [unit(group) for group in firsts]
