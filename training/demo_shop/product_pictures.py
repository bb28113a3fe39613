"""Paint a product as a PNG: scene, shadow, silhouette, pattern and motif in the colours of its palette.

The texts never name anything painted here.
"""

import io
from dataclasses import dataclass
from functools import cache

from PIL import Image, ImageChops, ImageOps

from training.demo_shop.motifs import MOTIF_DRAWINGS
from training.demo_shop.patterns import PATTERN_DRAWINGS
from training.demo_shop.pen import SIDE, Pen
from training.demo_shop.products import Product
from training.demo_shop.silhouettes import FLOOR, DrawSilhouette, Layers
from training.demo_shop.tableware_and_home import (
    draw_cushion,
    draw_lamp,
    draw_mug,
    draw_poster,
    draw_teapot,
    draw_vase,
)
from training.demo_shop.things_to_wear_and_carry import (
    draw_backpack,
    draw_notebook,
    draw_sneaker,
    draw_t_shirt,
    draw_tote_bag,
    draw_umbrella,
)

Colour = tuple[int, int, int]

SILHOUETTES: dict[str, DrawSilhouette] = {
    "mug": draw_mug,
    "teapot": draw_teapot,
    "vase": draw_vase,
    "lamp": draw_lamp,
    "cushion": draw_cushion,
    "poster": draw_poster,
    "notebook": draw_notebook,
    "tote bag": draw_tote_bag,
    "backpack": draw_backpack,
    "sneaker": draw_sneaker,
    "t-shirt": draw_t_shirt,
    "umbrella": draw_umbrella,
}


@dataclass(frozen=True, slots=True)
class Palette:
    """Seven colours that go together, as hexadecimal RGB."""

    wall: str
    scene: str
    body: str
    pattern: str
    trim: str
    badge: str
    motif: str


PALETTE_COLOURS: dict[str, Palette] = {
    "fjord": Palette("dfeaf2", "c6dbe9", "2a5f93", "7db3da", "163a5f", "f8f4ea", "d9622b"),
    "terracotta": Palette("f8e6d8", "efcfb8", "c65f3f", "e9a37f", "7f3420", "fff5e9", "2f5d62"),
    "fir": Palette("e3eddd", "c8dcc0", "2f6e4e", "8fbe8a", "1b4230", "fbf7e6", "b5532a"),
    "mustard": Palette("fcf3d3", "f6e2a2", "e0a422", "f8d877", "8a5d0c", "fffbef", "3c4f76"),
    "plum": Palette("eee3f2", "dac5e2", "70407e", "b88fc6", "43214f", "fbf3fb", "d98e04"),
    "blush": Palette("fdeaee", "f9cfd8", "e8849c", "f9bccb", "a33d5e", "fffafa", "7a2748"),
    "lagoon": Palette("dcf4f0", "b7e4dd", "1f9a93", "86d6cb", "0c5552", "fdfbf0", "ef6f53"),
    "charcoal": Palette("eeeeec", "d8d8d5", "41454a", "8e949a", "1f2124", "fbfbfa", "2b2d30"),
    "cherry": Palette("f6efe4", "ead9c4", "bd1f36", "ee8f8f", "6b0d1d", "fffaf0", "1f3b5c"),
    "midnight": Palette("2b3160", "3b4280", "7180d6", "f0cf6e", "cfd5f7", "1a1e42", "f7dd8b"),
}

BLACK: Colour = (0, 0, 0)
WHITE: Colour = (255, 255, 255)

# Light comes from the left. Opacities are out of 255, widths in pixels.
SHADE_OPACITY, SHADE_WIDTH = 48, 7
LIGHT_OPACITY, LIGHT_WIDTH = 60, 4
SHADOW_OPACITY = 44


def paint_picture(product: Product) -> Image.Image:
    """Paint the product, RGB, SIDE x SIDE pixels."""
    layers, badge_disc, motif = Layers(), Pen(), Pen()
    badge = SILHOUETTES[product.kind](layers, product.shape)
    badge_disc.ellipse(badge.x, badge.y, badge.radius, badge.radius)
    MOTIF_DRAWINGS[product.motif](motif, badge.x, badge.y, badge.radius * 0.86)
    body = layers.body.mask()

    palette = PALETTE_COLOURS[product.palette]
    picture = Image.new("RGB", (SIDE, SIDE), _colour(palette.wall, product.tint))
    for colour, mask in (
        (_colour(palette.scene, product.tint), _scene(product.scene)),
        (BLACK, _shadow(badge.shadow)),
        (_colour(palette.trim, product.tint), layers.behind.mask()),
        (_colour(palette.body, product.tint), body),
        (_colour(palette.pattern, product.tint), ImageChops.multiply(_pattern(product.pattern), body)),
        (BLACK, _rim(body, -SHADE_WIDTH, SHADE_OPACITY)),
        (WHITE, _rim(body, LIGHT_WIDTH, LIGHT_OPACITY)),
        (_colour(palette.trim, product.tint), layers.front.mask()),
        (_colour(palette.badge, product.tint), badge_disc.mask()),
        (_colour(palette.motif, product.tint), motif.mask()),
    ):
        picture.paste(colour, mask=mask)
    return ImageOps.mirror(picture) if product.is_mirrored else picture


def encode_png(picture: Image.Image) -> bytes:
    """Encode the picture as PNG. Pixels are the same on every machine; bytes may differ with zlib's version."""
    file = io.BytesIO()
    picture.save(file, format="PNG")
    return file.getvalue()


def _colour(hexadecimal: str, tint: int) -> Colour:
    """RGB in [0, 255], every channel moved by `tint`."""
    red, green, blue = (min(255, max(0, channel + tint)) for channel in bytes.fromhex(hexadecimal))
    return red, green, blue


@cache
def _pattern(name: str) -> Image.Image:
    pen = Pen()
    PATTERN_DRAWINGS[name](pen)
    return pen.mask()


@cache
def _scene(scene: int) -> Image.Image:
    """A floor, a disc or an arch behind the product."""
    pen = Pen()
    if scene == 0:
        pen.box(0, FLOOR - 16, SIDE, SIDE)
    elif scene == 1:
        pen.ellipse(SIDE / 2, SIDE / 2, 74, 74)
    else:
        pen.box(22, 14, SIDE - 22, SIDE + 60, radius=64)
    return pen.mask()


def _shadow(half_width: float) -> Image.Image:
    """A faint flat shadow on the floor; none for products on the wall."""
    pen = Pen()
    if half_width:
        pen.ellipse(SIDE / 2, FLOOR + 1, half_width + 8, 6, ink=SHADOW_OPACITY)
    return pen.mask()


def _rim(body: Image.Image, shift: int, opacity: int) -> Image.Image:
    """The part of the body not covered by a copy of it shifted sideways by `shift` pixels, at this opacity."""
    moved = Image.new("L", body.size, 0)
    moved.paste(body, (shift, 0))
    bare = ImageChops.subtract(body, moved)
    return bare.point([opacity * level // 255 for level in range(256)])
