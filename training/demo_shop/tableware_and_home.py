"""Draw products for the home: mug, teapot, vase, lamp, cushion and poster, in three shapes."""

from training.demo_shop.pen import ERASER
from training.demo_shop.silhouettes import FLOOR, Badge, Layers


def draw_mug(layers: Layers, shape: int) -> Badge:
    """A straight, a tapered or a round mug, its handle to the right."""
    layers.behind.ring(114, 100, 25, 25, 8)
    if shape == 0:
        layers.body.box(44, 58, 114, FLOOR, radius=10)
    elif shape == 1:
        layers.body.polygon([(40, 58), (118, 58), (106, 144), (100, FLOOR), (58, FLOOR), (52, 144)])
    else:
        layers.body.blob([(48, 58), (80, 60), (110, 58), (120, 100), (106, 146), (80, 150), (54, 146), (38, 100)])
    rim = 39 if shape == 1 else 35
    layers.front.ellipse(79, 59, rim, 7)
    layers.front.ellipse(79, 60, rim - 5, 4, ERASER)
    return Badge(79, 106, 23)


def draw_teapot(layers: Layers, shape: int) -> Badge:
    """A round, a tall or a squat teapot, its spout to the right."""
    top, half_width = ((66, 43), (54, 36), (80, 49))[shape]
    middle = (top + FLOOR) / 2
    layers.behind.ring(82 - half_width, middle, 22, 26, 7)
    spout = [(112, 132), (146, 92), (154, 76), (143, 74), (132, 86), (112, 104)]
    layers.behind.polygon(spout)
    layers.body.blob(
        [
            (82, top),
            (82 + half_width * 0.8, top + 14),
            (82 + half_width, middle + 6),
            (82 + half_width * 0.7, FLOOR - 5),
            (82, FLOOR),
            (82 - half_width * 0.7, FLOOR - 5),
            (82 - half_width, middle + 6),
            (82 - half_width * 0.8, top + 14),
        ]
    )
    layers.front.ellipse(82, top + 4, 24, 6)
    layers.front.ellipse(82, top - 7, 7, 7)
    return Badge(82, middle + 6, 23, shadow=54)


def draw_vase(layers: Layers, shape: int) -> Badge:
    """A slim, a bulbous or a two-handled vase, with a few twigs."""
    for tip_x, tip_y in ((66, 20), (88, 12), (110, 24)):
        layers.behind.curve([(88, 70), ((88 + tip_x) / 2, 44), (tip_x, tip_y)], 3)
        layers.behind.ellipse(tip_x, tip_y, 6, 8)
    if shape == 0:
        half = [(15, 52), (13, 66), (25, 92), (31, 122), (22, 148)]
    elif shape == 1:
        half = [(17, 60), (13, 68), (38, 90), (42, 120), (24, 148)]
    else:
        half = [(20, 52), (15, 64), (34, 84), (30, 122), (18, 148)]
        layers.behind.ring(62, 78, 17, 19, 6)
        layers.behind.ring(114, 78, 17, 19, 6)
    layers.body.blob([(88 + x, y) for x, y in half] + [(88 - x, y) for x, y in reversed(half)])
    layers.front.box(88 - half[0][0] - 3, half[0][1] - 4, 88 + half[0][0] + 3, half[0][1] + 3, radius=3)
    return Badge(88, 114, 22, shadow=36)


def draw_lamp(layers: Layers, shape: int) -> Badge:
    """A table lamp with a cone, a dome or a drum for its shade."""
    layers.behind.box(85, 100, 91, FLOOR - 4)
    layers.behind.box(58, FLOOR - 9, 118, FLOOR, radius=4)
    layers.behind.ellipse(88, 118, 8, 8)
    layers.behind.ellipse(88, 108, 12, 10)
    if shape == 0:
        layers.body.polygon([(66, 26), (110, 26), (140, 104), (36, 104)])
        badge_y = 73
    elif shape == 1:
        layers.body.blob([(88, 28), (122, 46), (138, 80), (138, 104), (88, 105), (38, 104), (38, 80), (54, 46)])
        badge_y = 72
    else:
        layers.body.box(42, 32, 134, 104, radius=5)
        badge_y = 68
    layers.front.line([(120, 105), (120, 126)], 1.5)
    layers.front.ellipse(120, 128, 3, 3)
    return Badge(88, badge_y, 23, shadow=40)


def draw_cushion(layers: Layers, shape: int) -> Badge:
    """A square, a round or a long cushion, piped along its edge."""
    if shape == 0:
        square = [(36, 44), (88, 51), (140, 44), (134, 97), (140, FLOOR), (88, 144), (36, FLOOR), (42, 97)]
        layers.behind.blob([(88 + (x - 88) * 1.06, 97 + (y - 97) * 1.06) for x, y in square])
        layers.body.blob(square)
        return Badge(88, 97, 25, shadow=50)
    if shape == 1:
        layers.behind.ellipse(88, 98, 56, 55)
        layers.body.ellipse(88, 98, 52, 51)
        return Badge(88, 98, 25, shadow=42)
    layers.behind.box(14, 66, 162, FLOOR + 1, radius=26)
    layers.body.box(18, 70, 158, FLOOR - 3, radius=23)
    for end in (30, 146):
        layers.front.curve([(end, 74), (end, 108), (end, 143)], 2)
    return Badge(88, 109, 24, shadow=68)


def draw_poster(layers: Layers, shape: int) -> Badge:
    """A framed tall, a framed wide, or a rod-hung poster on the wall."""
    if shape == 0:
        layers.behind.box(40, 18, 136, 146, radius=2)
        layers.body.box(46, 24, 130, 140)
        return Badge(88, 82, 30, shadow=0)
    if shape == 1:
        layers.behind.box(16, 34, 160, 134, radius=2)
        layers.body.box(22, 40, 154, 128)
        return Badge(88, 84, 30, shadow=0)
    layers.behind.line([(46, 36), (88, 12), (130, 36)], 2)
    layers.body.box(44, 36, 132, 144)
    for height in (36, 144):
        layers.front.line([(39, height), (137, height)], 7)
    return Badge(88, 90, 30, shadow=0)
