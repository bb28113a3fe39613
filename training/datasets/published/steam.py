"""Describe Steam's games and reviews as published by UCSD: steam_games.json.gz and steam_reviews.json.gz.

Lines are Python dicts. As in the works that use it, a user is a username, every review counts alike, and the iterative
5-core is taken; a user's first review of a game counts. Reviews without user, game or date, games without an id, and
a game's second record are left out. Conditions of `[events]` may read `hours`. Pictures are read from `images/ID.jpg`.

Source: Kang and McAuley 2018, "Self-Attentive Sequential Recommendation".
"""

from pathlib import Path
from typing import Any

from clairo_core.errors import DatasetError
from clairo_core.events import InteractionRules
from clairo_core.progress import Progress
from clairo_core.values.ids import check_user_id
from training.datasets.description import DatasetDescription, InteractionsDescription, ItemsDescription
from training.datasets.published.published_tables import Records, RecordsTable, pictures_by_id
from training.datasets.published.python_lines import python_records
from training.datasets.tables.column_kinds import value_as_text

RULES = InteractionRules(repeats="drop", min_interactions=5, unknown_items="drop")
_TEXTS = ("title", "genres", "tags", "specs", "developer")
_ATTRIBUTES = ("genres", "developer", "publisher", "price", "year")
_GAMES = ("id", *dict.fromkeys((*_TEXTS, *_ATTRIBUTES)), "picture")


def describe_steam(folder: Path) -> DatasetDescription | None:
    """Describe the folder; None without steam_reviews.json.gz.

    Raises:
        DatasetError: steam_games.json.gz is missing.
    """
    games, reviews = folder / "steam_games.json.gz", folder / "steam_reviews.json.gz"
    if not reviews.is_file():
        return None
    if not games.is_file():
        raise DatasetError(f"{games} does not exist; download it beside {reviews.name}")
    return DatasetDescription(
        name="steam",
        items=ItemsDescription(
            file=RecordsTable(games, _GAMES, _games),
            item_id="id",
            texts=_TEXTS,
            attributes=_ATTRIBUTES,
            picture="picture",
            picture_folder=folder,
        ),
        interactions=(
            InteractionsDescription(
                file=RecordsTable(reviews, ("username", "product_id", "date", "hours"), _reviews),
                user_id="username",
                item_id="product_id",
                order="date",
                is_time=True,
            ),
        ),
        rules=RULES,
    )


def _games(path: Path, progress: Progress) -> Records:
    pictures = pictures_by_id(path.parent / "images")
    seen: set[str] = set()
    for number, game in python_records(path, progress):
        game_id = _text(game.get("id"))
        if game_id is None or game_id in seen:
            continue
        seen.add(game_id)
        release_date = _text(game.get("release_date")) or ""
        picture = pictures.get(game_id)
        yield (
            number,
            {name: _text(game.get(name)) for name in _GAMES}
            | {
                "id": game_id,
                "title": _text(game.get("app_name")) or _text(game.get("title")),
                "year": release_date[:4] if release_date[:4].isdecimal() else None,
                "picture": None if picture is None else f"images/{picture.name}",
            },
        )


def _reviews(path: Path, progress: Progress) -> Records:
    for number, review in python_records(path, progress):
        user, game, date = (_text(review.get(name)) for name in ("username", "product_id", "date"))
        if user is None or game is None or date is None or not _is_user_id(user):
            continue
        hours = review.get("hours")
        yield (
            number,
            {
                "username": user,
                "product_id": game,
                "date": date,
                "hours": float(hours) if isinstance(hours, int | float) else None,
            },
        )


def _text(value: Any) -> str | None:
    try:
        text = value_as_text(value)
    except TypeError:
        return None
    return None if text is None else text.replace("\0", " ").strip() or None


def _is_user_id(name: str) -> bool:
    try:
        check_user_id(name)
    except ValueError:
        return False
    return True
