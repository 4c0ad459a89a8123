"""Report of an antialiasing: what was done to each layer, what it costs, what was left and why."""

from dataclasses import dataclass
from io import StringIO

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Row:
    """One subsampling of the network.

    Attributes:
        name: its path in the network.
        was: the operation.
        became: what takes its place, or empty if it was left.
        added: multiplications that this adds for an image of the example's size.
        left: why it was left, else empty.
    """

    name: str
    was: str
    became: str = ""
    added: int = 0
    left: str = ""


@dataclass(frozen=True)
class Report:
    """Account of what was done to each subsampling, in order of execution; printable.

    Attributes:
        rows: one for each subsampling.
        multiplications: of the network as it was, for an image of the example's size.
        size: height and width of that image.
    """

    rows: tuple[Row, ...]
    multiplications: int
    size: tuple[int, int]

    @property
    def added(self) -> int:
        """Number of multiplications added in all."""
        return sum(row.added for row in self.rows)

    def __str__(self) -> str:
        table = Table("layer", "was", "became", "added multiplications")
        table.columns[3].justify = "right"
        for row in self.rows:
            table.add_row(row.name, row.was, row.became or f"left: {row.left}", f"{row.added:,}" if row.became else "")
        height, width = self.size
        table.caption = (
            f"{self.multiplications / 1e6:,.1f} million multiplications before, for an image of {height}x{width}, and "
            f"{self.added / self.multiplications:.0%} more now"
            if self.multiplications
            else ""
        )
        text = StringIO()
        Console(file=text, width=120).print(table)
        return text.getvalue()
