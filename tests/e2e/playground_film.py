"""Walk through the playground of a running service, and write README's picture and film of it.

`python -m tests.e2e.playground_film [URL]`; `make film` serves the demo for it. Start at `main`.
"""

import io
import sys

from PIL import Image, ImageDraw
from playwright.sync_api import Locator, Page

from tests.browser import opened_page
from tests.e2e.playground_tour import tour
from tests.repository import REPOSITORY

STILL = REPOSITORY / "docs" / "playground.png"
FILM = REPOSITORY / "docs" / "playground.webp"
QUALITY = 70
"""Of WebP, up to 100. Letters stay sharp, and the film below 1.5 MB."""
SECONDS = {
    "first visit": 1.6,
    "history": 2.2,
    "why": 2.2,
    "form": 1.6,
    "arrived": 2.8,
    "who gets it": 2.2,
    "before and after": 3.2,
    "its list": 2.0,
}
PRESSED_SECONDS = 0.6
RING, RING_RADIUS = (217, 119, 6), 26


def main(url: str) -> None:
    """Write both files."""
    frames: list[tuple[Image.Image, float]] = []
    with opened_page(url) as page:

        def stop(name: str, pressed: Locator | None) -> None:
            shot = screenshot(page)
            if name == "history":
                shot.save(STILL, optimize=True)
            frames.append((shot, SECONDS[name]))
            if pressed is not None:
                frames.append((with_ring(shot, pressed), PRESSED_SECONDS))

        tour(page, stop)
    pictures = [picture for picture, _ in frames]
    pictures[0].save(
        FILM,
        save_all=True,
        append_images=pictures[1:],
        duration=[round(1000 * seconds) for _, seconds in frames],
        loop=0,
        quality=QUALITY,
        method=6,
    )
    seconds = sum(seconds for _, seconds in frames)
    print(f"{FILM}: {seconds:.0f} seconds, {FILM.stat().st_size / 1e6:.2f} MB; {STILL}")


def screenshot(page: Page) -> Image.Image:
    """What is on screen."""
    return Image.open(io.BytesIO(page.screenshot(animations="disabled"))).convert("RGB")


def with_ring(shot: Image.Image, pressed: Locator) -> Image.Image:
    """The picture with a ring where something is about to be pressed."""
    box = pressed.bounding_box()
    if box is None:
        return shot
    drawn = shot.copy()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    corners = (x - RING_RADIUS, y - RING_RADIUS, x + RING_RADIUS, y + RING_RADIUS)
    ImageDraw.Draw(drawn).ellipse(corners, outline=RING, width=5)
    return drawn


if __name__ == "__main__":
    main(*sys.argv[1:] or ("http://127.0.0.1:8000",))
