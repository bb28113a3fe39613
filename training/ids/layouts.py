"""The layouts of other code that ids can be exported to."""

from enum import StrEnum


class Layout(StrEnum):
    """Layouts of published code."""

    LCREC = "lcrec"
    MINIONEREC = "minionerec"
    GRID = "grid"
