"""Draw products to wear and carry: notebook, tote bag, backpack, sneaker, t-shirt and umbrella, in three shapes."""

from training.demo_shop.pen import ERASER
from training.demo_shop.silhouettes import FLOOR, Badge, Layers


def draw_notebook(layers: Layers, shape: int) -> Badge:
    """A bound notebook with a ribbon, one with an elastic band, or a spiral pad."""
    if shape == 0:
        layers.behind.polygon([(106, 140), (118, 140), (118, 166), (112, 160), (106, 166)])
        layers.behind.box(46, 30, 138, FLOOR, radius=4)
        layers.body.box(42, 26, 132, 145, radius=5)
        layers.front.box(42, 26, 54, 145, radius=4)
        return Badge(92, 84, 25, shadow=48)
    if shape == 1:
        layers.behind.box(44, 30, 136, FLOOR, radius=10)
        layers.body.box(40, 26, 132, 145, radius=12)
        layers.front.box(117, 25, 122, 146)
        return Badge(79, 84, 25, shadow=48)
    layers.behind.box(38, 40, 140, FLOOR, radius=4)
    layers.body.box(36, 36, 136, 146, radius=4)
    for ring in range(7):
        layers.front.line([(46 + 13.4 * ring, 28), (46 + 13.4 * ring, 44)], 4)
    return Badge(86, 97, 26, shadow=50)


def draw_tote_bag(layers: Layers, shape: int) -> Badge:
    """A flared, a straight or a rounded bag with two long straps."""
    layers.behind.curve([(62, 72), (66, 26), (88, 16), (110, 26), (114, 72)], 6)
    if shape == 0:
        layers.body.polygon([(34, 66), (142, 66), (126, FLOOR), (50, FLOOR)])
    elif shape == 1:
        layers.body.box(44, 64, 132, FLOOR, radius=5)
    else:
        layers.body.blob([(46, 66), (88, 69), (130, 66), (140, 112), (118, 148), (88, 150), (58, 148), (36, 112)])
    for strap in (62, 114):
        layers.front.box(strap - 4, 67, strap + 4, 80, radius=2)
    return Badge(88, 110, 25)


def draw_backpack(layers: Layers, shape: int) -> Badge:
    """A rounded, a rolled-top or a flap-top backpack with a front pocket."""
    layers.behind.ring(88, 28, 14, 13, 5)
    for strap in (42, 134):
        layers.behind.box(strap - 9, 68, strap + 9, 138, radius=9)
    if shape == 0:
        layers.body.box(44, 30, 132, FLOOR, radius=30)
        layers.front.line([(58, 56), (118, 56)], 3)
    elif shape == 1:
        layers.body.box(46, 42, 130, FLOOR, radius=13)
        layers.front.box(54, 30, 122, 46, radius=7)
        layers.front.box(84, 44, 92, 60, radius=2)
    else:
        layers.body.box(44, 36, 132, FLOOR, radius=17)
        layers.front.blob([(46, 44), (88, 30), (130, 44), (128, 62), (88, 68), (48, 62)])
        layers.front.box(84, 62, 92, 76, radius=2)
    layers.front.box(60, 126, 116, 129)
    return Badge(88, 98, 22)


def draw_sneaker(layers: Layers, shape: int) -> Badge:
    """A low, a high or a slip-on sneaker, its toe to the right."""
    if shape == 0:
        upper = [(22, 82), (44, 92), (68, 74), (92, 88), (124, 106), (160, 118), (164, 140), (92, 147), (20, 140)]
        laces = [(80, 84), (92, 92), (104, 100)]
        badge = Badge(52, 114, 19, shadow=70)
    elif shape == 1:
        upper = [(26, 44), (50, 47), (76, 42), (84, 74), (118, 102), (160, 116), (164, 140), (92, 147), (20, 140)]
        laces = [(77, 58), (82, 73), (94, 87), (107, 97)]
        badge = Badge(49, 84, 21, shadow=70)
    else:
        upper = [(20, 90), (48, 84), (92, 90), (140, 106), (164, 124), (164, 140), (92, 147), (20, 140)]
        laces = []
        badge = Badge(44, 112, 18, shadow=70)
        layers.front.polygon([(66, 86), (88, 89), (82, 108), (72, 108)])
    layers.body.blob(upper)
    for x, y in laces:
        layers.front.line([(x - 8, y + 8), (x + 7, y - 2)], 3.5)
    layers.front.box(15, 134, 168, FLOOR, radius=7)
    layers.front.box(22, 140, 161, 142, ink=ERASER)
    return badge


def draw_t_shirt(layers: Layers, shape: int) -> Badge:
    """A round-necked, a v-necked or a long-sleeved shirt on the wall."""
    cuffs = ((14, 74), (38, 92)) if shape != 2 else ((12, 128), (32, 134))
    left = [(66, 28), (36, 40), *cuffs, (46, 78), (46, FLOOR)]
    layers.body.polygon(left + [(176 - x, y) for x, y in reversed(left)])
    if shape == 1:
        layers.front.polygon([(64, 26), (112, 26), (88, 62)])
        layers.front.polygon([(70, 24), (106, 24), (88, 53)], ERASER)
        layers.body.polygon([(66, 24), (110, 24), (88, 58)], ERASER)
    else:
        layers.front.ellipse(88, 28, 24, 15)
        layers.front.ellipse(88, 25, 19, 12, ERASER)
        layers.front.box(60, 10, 116, 28, ink=ERASER)
        layers.body.ellipse(88, 26, 20, 13, ERASER)
    return Badge(88, 96, 24, shadow=0)


def draw_umbrella(layers: Layers, shape: int) -> Badge:
    """A wide, a deep or a pagoda-shaped umbrella, open."""
    layers.behind.box(86, 20, 90, 140)
    layers.behind.arc(98, 138, 12, 14, 0, 180, 4)
    top, rim, reach = ((36, 92, 76), (22, 104, 64), (22, 96, 74))[shape]
    if shape == 2:
        half = [(88, top), (98, top + 18), (126, rim - 32), (88 + reach, rim + 6)]
        layers.body.polygon(half + [(176 - x, y) for x, y in reversed(half)])
    else:
        layers.body.ellipse(88, rim, reach, rim - top)
        layers.body.box(0, rim, 176, 176, ink=ERASER)
    for scallop in range(4):
        width = reach / 2
        layers.body.ellipse(88 - reach + width * (scallop + 0.5), rim + 4, width / 2 + 1, 9, ERASER)
    for side in (-1, 1):
        rib = [(88, top), (88 + side * reach * 0.34, (top + rim) / 2), (88 + side * reach * 0.5, rim - 3)]
        layers.front.curve(rib, 1.5)
    layers.front.box(86, top - 10, 90, top + 2, radius=2)
    return Badge(88, rim - 28, 20, shadow=0)
