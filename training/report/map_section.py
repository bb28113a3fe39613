"""Draw a map of the catalogue into the page: a canvas with pictures, zoom, search, and each item's neighbours.

The page's only script draws it, `item_map.js`.
"""

import base64
import io
import json
from collections.abc import Sequence
from math import ceil, sqrt
from pathlib import Path

import numpy as np
from jaxtyping import Int64, Real
from PIL import Image

from clairo_core.bundle.bundle import Bundle
from training.comparison.item_pictures import small_picture
from training.report.item_map import ItemMap

SCRIPT = Path(__file__).with_name("item_map.js").read_text(encoding="utf-8")
STYLE = Path(__file__).with_name("item_map.css").read_text(encoding="utf-8")
MOST_PICTURES = 2_500
"""Bounds the page at about 4 MB. Further items are dots."""
TILE_SIDE = 56
NEIGHBOURS_SHOWN = 5
MOST_TITLE_CHARACTERS = 80
_STEPS = 10_000


def map_section(item_map: ItemMap, bundle: Bundle) -> str:
    """The section's HTML: canvas, controls, pictures, data and script."""
    order = draw_order(item_map, bundle.popularity)
    rows = item_map.rows[order]
    sheet, tiles = picture_sheet(bundle, rows)
    place_of = np.argsort(order)
    num_new = int(np.count_nonzero(bundle.popularity[rows] == 0))
    content = {
        "places": np.round(item_map.places[order] * _STEPS).astype(int).tolist(),
        "steps": _STEPS,
        "titles": [bundle.items[row].title[:MOST_TITLE_CHARACTERS] for row in rows.tolist()],
        "numNew": num_new,
        "tiles": tiles,
        "tileSide": TILE_SIDE,
        "neighbours": place_of[item_map.neighbours[order][:, :NEIGHBOURS_SHOWN]].tolist(),
    }
    # A title may hold "</script>".
    written = json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")
    shown = (
        f"{len(rows):,} items" if len(rows) == len(bundle.items) else f"{len(rows):,} of {len(bundle.items):,} items"
    )
    new = f" {num_new:,} of them are new: training has no interaction with them." if num_new else ""
    legend = '<span class="new"><span class="dot"></span>new item</span>' if num_new else ""
    picture = f'<img id="map-sheet" src="{sheet}" alt="" hidden>' if sheet else ""
    return f"""<section><h2>Map of the catalogue</h2>
<p>{shown}. Items that the bundle holds for similar lie close together (UMAP of their vectors).{new}
Point at an item for its neighbours.</p>
<div class="map-bar"><label>Find <input id="map-search" type="search" placeholder="words of a title"></label>
<span class="map-zoom"><button type="button" id="map-in" aria-label="Zoom in">+</button>
<button type="button" id="map-out" aria-label="Zoom out">−</button>
<button type="button" id="map-whole">Whole map</button></span>
<span class="legend">{legend}</span></div>
<div id="map"><canvas id="map-canvas" role="img"
aria-label="Map of {len(rows):,} items; search for one to read its neighbours"></canvas>
<div id="map-card" aria-live="polite" hidden></div></div>
<noscript><p>The map is drawn by a script, which this browser does not run.</p></noscript>
{picture}<script type="application/json" id="map-data">{written}</script>
<script>{SCRIPT}</script></section>"""


def draw_order(item_map: ItemMap, popularity: Real[np.ndarray, "item"]) -> Int64[np.ndarray, "shown"]:
    """Items of the map in the order in which they take their place: new ones, then the most popular."""
    counts = popularity[item_map.rows]
    return np.lexsort((-counts, counts > 0))


def picture_sheet(bundle: Bundle, rows: Int64[np.ndarray, "item"]) -> tuple[str | None, list[int]]:
    """One JPEG with the pictures of the first items as a data url, and each item's tile in it, or -1.

    Tiles count from the left, then from the top, `ceil(sqrt(number))` in a row. None without pictures.
    """
    found: list[Image.Image] = []
    tiles: list[int] = []
    for row in rows.tolist():
        content = bundle.read_picture(row) if len(found) < MOST_PICTURES else None
        picture = None if content is None else small_picture(content, TILE_SIDE)
        tiles.append(-1 if picture is None else len(found))
        if picture is not None:
            found.append(picture)
    return (_sheet_of(found) if found else None), tiles


def _sheet_of(pictures: Sequence[Image.Image]) -> str:
    num_across = ceil(sqrt(len(pictures)))
    num_down = ceil(len(pictures) / num_across)
    sheet = Image.new("RGB", (num_across * TILE_SIDE, num_down * TILE_SIDE), "white")
    for tile, picture in enumerate(pictures):
        down, across = divmod(tile, num_across)
        left = across * TILE_SIDE + (TILE_SIDE - picture.width) // 2
        sheet.paste(picture, (left, down * TILE_SIDE + (TILE_SIDE - picture.height) // 2))
    file = io.BytesIO()
    sheet.save(file, format="JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
