"""Describe MovieLens as published: 100K (u.data), 1M (ratings.dat), latest-small to 32M (ratings.csv).

All ratings count alike, as in the works on next items, and the iterative 5-core is taken. Conditions of `[events]` may
read `rating`. Texts are title, genres and, where there is a tags.csv, the tags that most users gave. Posters are read
from `posters/ID.jpg`.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from clairo_core.errors import DatasetError, RowError
from clairo_core.events import InteractionRules
from clairo_core.progress import Progress, silent
from training.datasets.description import DatasetDescription, InteractionsDescription, ItemsDescription
from training.datasets.published.published_tables import Records, RecordsTable, SeparatedTable, pictures_by_id
from training.datasets.tables.table_files import read_table
from training.datasets.tables.table_source import TableFile

RULES = InteractionRules(min_interactions=5, unknown_items="drop")
_RATINGS = ("userId", "movieId", "rating", "timestamp")
_MOVIES = ("movieId", "title", "genres", "tags", "year", "picture")
_GENRES_OF_100K = (
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
)
_NO_GENRE = frozenset({"unknown", "(no genres listed)"})
_YEAR = re.compile(r"\((\d{4})\)\s*$")
_MOST_TAGS = 10


def describe_movielens(folder: Path) -> DatasetDescription | None:
    """Describe the folder; None without a pair of files that MovieLens has.

    Raises:
        DatasetError: there are ratings without movies.
    """
    ratings: TableFile
    if (folder / "u.data").is_file():
        ratings = SeparatedTable(folder / "u.data", "\t", _RATINGS)
        movies = RecordsTable(folder / "u.item", _MOVIES, _movies_of_100k)
    elif (folder / "ratings.dat").is_file():
        ratings = SeparatedTable(folder / "ratings.dat", "::", _RATINGS)
        movies = RecordsTable(folder / "movies.dat", _MOVIES, _movies_of_1m)
    elif (folder / "ratings.csv").is_file() and (folder / "movies.csv").is_file():
        ratings = folder / "ratings.csv"
        movies = RecordsTable(folder / "movies.csv", _MOVIES, _movies_of_csv)
    else:
        return None
    if not movies.path.is_file():
        raise DatasetError(f"{movies.path} does not exist, expected it beside {ratings}; unpack the whole archive")
    return DatasetDescription(
        name=folder.resolve().name,
        items=ItemsDescription(
            file=movies,
            item_id="movieId",
            texts=("title", "genres", "tags"),
            attributes=("genres", "year"),
            picture="picture",
            picture_folder=folder,
        ),
        interactions=(
            InteractionsDescription(file=ratings, user_id="userId", item_id="movieId", order="timestamp", is_time=True),
        ),
        rules=RULES,
    )


def _movies_of_100k(path: Path, progress: Progress) -> Records:
    pictures = pictures_by_id(path.parent / "posters")
    for number, line in progress(_text_lines(path), f"reading {path.name}", None):
        fields = line.split("|")
        flags = fields[-len(_GENRES_OF_100K) :]
        if len(fields) != 5 + len(_GENRES_OF_100K) or not set(flags) <= {"0", "1"}:
            raise RowError(
                f"{path} row {number}: got {len(fields)} values between '|', expected 24, the last 19 being 0 or 1; "
                "download it again"
            )
        genres = [name for name, flag in zip(_GENRES_OF_100K, flags, strict=True) if flag == "1"]
        yield number, _movie(fields[0], fields[1], genres, "", pictures)


def _movies_of_1m(path: Path, progress: Progress) -> Records:
    pictures = pictures_by_id(path.parent / "posters")
    for number, line in progress(_text_lines(path), f"reading {path.name}", None):
        fields = line.split("::")
        if len(fields) != 3:
            raise RowError(
                f"{path} row {number}: got {len(fields)} values between '::', expected id, title and genres; "
                "download it again"
            )
        yield number, _movie(fields[0], fields[1], fields[2].split("|"), "", pictures)


def _movies_of_csv(path: Path, progress: Progress) -> Records:
    pictures = pictures_by_id(path.parent / "posters")
    tags = _tags(path.parent / "tags.csv", progress)
    table = read_table(path, {"movieId": "id", "title": "text", "genres": "text"}, progress).table
    rows = zip(*(table[name].to_pylist() for name in ("movieId", "title", "genres")), strict=True)
    # No title has a line break.
    for number, (movie_id, title, genres) in enumerate(rows, start=2):
        yield number, _movie(movie_id, title or "", (genres or "").split("|"), tags.get(movie_id, ""), pictures)


def _movie(movie_id: str, title: str, genres: list[str], tags: str, pictures: Mapping[str, Path]) -> dict[str, Any]:
    year = _YEAR.search(title)
    picture = pictures.get(movie_id)
    return {
        "movieId": movie_id,
        "title": title.strip() or None,
        "genres": ", ".join(genre for genre in genres if genre and genre not in _NO_GENRE) or None,
        "tags": tags or None,
        "year": None if year is None else year[1],
        "picture": None if picture is None else f"posters/{picture.name}",
    }


def _tags(path: Path, progress: Progress = silent) -> dict[str, str]:
    """The tags that most users gave a movie, most frequent first, ties in alphabetical order."""
    if not path.is_file():
        return {}
    table = read_table(path, {"movieId": "id", "tag": "text"}, progress).table.drop_null()
    words = pc.utf8_lower(pc.utf8_trim_whitespace(table["tag"]))
    given = (
        pa.table({"movie": table["movieId"], "tag": words}).group_by(["movie", "tag"]).aggregate([([], "count_all")])
    )
    ordered = given.sort_by([("movie", "ascending"), ("count_all", "descending"), ("tag", "ascending")])
    tags: dict[str, list[str]] = {}
    for movie, tag in zip(ordered["movie"].to_pylist(), ordered["tag"].to_pylist(), strict=True):
        of_movie = tags.setdefault(movie, [])
        if tag and len(of_movie) < _MOST_TAGS:
            of_movie.append(tag)
    return {movie: ", ".join(of_movie) for movie, of_movie in tags.items()}


def _text_lines(path: Path) -> list[tuple[int, str]]:
    """Lines that are not blank. 1M and 100K are Latin-1, 10M is UTF-8."""
    content = path.read_bytes()
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    # `splitlines` would also split at characters of Latin-1.
    lines = enumerate(text.replace("\r\n", "\n").split("\n"), start=1)
    return [(number, line) for number, line in lines if line.strip()]
