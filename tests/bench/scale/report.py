"""The tables of a run."""

from collections.abc import Mapping, Sequence

from rich.table import Table

from tests.bench.scale.figures import Growth


def growth_table(grown: Sequence[Growth]) -> Table:
    """Return the processor time of each piece of work by number of leads. What grows is red."""
    sizes = [leads for leads, _ in grown[0].processor] if grown else []
    table = Table(
        "work", *(f"{leads:,}" for leads in sizes), "ratio", "elapsed", title="database's processor, ms"
    )
    for each in grown:
        name = f"{each.group}, {each.name}" if not each.name.startswith(each.group) else each.name
        table.add_row(
            name,
            *(f"{ms:,.2f}" for _, ms in each.processor),
            f"{each.ratio:.2f}{' a lead' if each.linear else ''}",
            f"{each.wall[-1][1]:,.1f}",
            style=None if each.is_flat else "red",
        )
    return table


def size_table(sizes: Mapping[int, Mapping[str, float]]) -> Table:
    """Return the bytes per lead of each table and index by number of leads, the largest first."""
    table = Table("table or index", *(f"{leads:,}" for leads in sorted(sizes)), title="bytes per lead")
    for name in sizes[max(sizes)] if sizes else ():
        table.add_row(name, *(f"{sizes[leads].get(name, 0):,.0f}" for leads in sorted(sizes)))
    return table
