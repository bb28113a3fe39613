"""Write a number with its noun."""


def counted(number: int, noun: str) -> str:
    """A number and its noun in the right form.

    >>> counted(1, "row"), counted(1200, "row")
    ('1 row', '1,200 rows')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
