"""The phrases of titles and descriptions, by kind, theme and make.

No phrase names a colour, a pattern or a motif: only pictures show those. {noun} is the product's noun, {a_noun} the
noun with its article, and {brand} the brand. As in human writing, several phrases share a meaning, and words recur.
"""

KIND_NOUNS: dict[str, tuple[str, ...]] = {
    "mug": ("mug", "mug", "cup"),
    "teapot": ("teapot", "teapot", "tea pot"),
    "vase": ("vase", "vase", "stem vase"),
    "lamp": ("lamp", "table lamp", "lamp"),
    "cushion": ("cushion", "cushion", "throw cushion"),
    "poster": ("poster", "art print", "poster"),
    "notebook": ("notebook", "journal", "notebook"),
    "tote bag": ("tote bag", "tote", "shopper bag"),
    "backpack": ("backpack", "rucksack", "backpack"),
    "sneaker": ("pair of sneakers", "pair of trainers", "pair of sneakers"),
    "t-shirt": ("t-shirt", "tee", "t-shirt"),
    "umbrella": ("umbrella", "umbrella", "brolly"),
}

KIND_DETAILS: dict[str, tuple[str, ...]] = {
    "mug": (
        "Holds 350 ml and goes in the dishwasher.",
        "The handle takes three fingers, and the stoneware keeps a drink hot.",
        "Stoneware, safe for microwave and dishwasher, 350 ml to the brim.",
    ),
    "teapot": (
        "Pours without a drip and holds four cups.",
        "With a steel strainer inside; enough tea for four cups.",
        "The spout is cut so that no drip is left behind; 1.1 litres.",
    ),
    "vase": (
        "Glazed inside, so it holds water; a few stems are enough.",
        "A narrow neck keeps three or four stems upright in water.",
        "Stands firmly, holds water, and looks finished even without stems.",
    ),
    "lamp": (
        "Takes an E27 bulb and has two metres of cable.",
        "A fabric shade, a pull switch and a soft, even light.",
        "The shade softens the bulb; the cable has its own switch.",
    ),
    "cushion": (
        "The cover has a hidden zip and washes at 30 degrees.",
        "A zipped cotton cover over a plump feather-free filling.",
        "Plump, soft and washable; the filling is included.",
    ),
    "poster": (
        "Printed on 200 g paper and sent rolled in a tube.",
        "Fits a standard frame; the paper is heavy and matt.",
        "Giclee print on matt paper, ready for a frame.",
    ),
    "notebook": (
        "Has 160 pages of paper that ink does not bleed through.",
        "160 numbered pages, thread-bound so that it opens flat.",
        "Opens flat and has a pocket at the back; 90 g paper.",
    ),
    "tote bag": (
        "Heavy canvas with straps long enough for the shoulder.",
        "Carries ten kilos; the inner pocket takes keys and a phone.",
        "Thick canvas, an inner pocket, and seams sewn twice.",
    ),
    "backpack": (
        "Holds 20 litres, with a padded sleeve for a laptop.",
        "Padded straps, two side pockets, and 20 litres of room.",
        "The back is padded and the zips keep rain out; 20 litres.",
    ),
    "sneaker": (
        "The sole grips well and the insole can be taken out.",
        "Canvas upper, rubber sole, true to size.",
        "Light, breathable, with a rubber sole; takes half a day to break in.",
    ),
    "t-shirt": (
        "Cotton jersey, 180 g, cut straight; sizes XS to XXL.",
        "Soft jersey that keeps its form after many washes.",
        "Combed cotton with a regular cut; wash at 30 degrees.",
    ),
    "umbrella": (
        "Opens at a push; eight fibreglass ribs bend and do not break in wind.",
        "Tested in gusts of 90 km/h, and dry again in minutes.",
        "Wind-proof ribs, a firm grip, and a sleeve to keep the hall dry.",
    ),
}

THEME_SERIES: dict[str, tuple[str, ...]] = {
    "hiking": ("Trailhead", "Summit", "Basecamp", "Ridgeway", "Wayfarer", "Switchback"),
    "breakfast": ("Slow Morning", "Sunday Table", "First Coffee", "Porridge", "Late Breakfast", "Toast & Jam"),
    "artists": ("Studio", "Sketchbook", "Life Class", "Easel", "Open Atelier", "Drawing Room"),
    "nursery": ("Bedtime", "Little Ones", "Playroom", "Lullaby", "Tiny Steps", "Story Hour"),
    "weddings": ("Just Married", "Best Day", "Newlywed", "Anniversary", "Wedding Guest", "Honeymoon"),
    "students": ("Dorm", "First Flat", "Semester", "Campus", "Freshers", "Shared Kitchen"),
    "commuters": ("Commuter", "Last Train", "Platform", "Rush Hour", "City Express", "Monday 7:40"),
    "readers": ("Bookworm", "Reading Nook", "One More Chapter", "Library", "Paperback", "Night Reader"),
    "gardeners": ("Allotment", "Potting Shed", "Raised Bed", "Kitchen Garden", "Seedling", "Compost Club"),
    "music": ("Encore", "Soundcheck", "Vinyl", "Front Row", "B-Side", "Backstage"),
}

THEME_OPENERS: dict[str, tuple[str, ...]] = {
    "hiking": (
        "{a_noun} for hikers who are on the trail before the weather makes up its mind.",
        "Made for long hikes and muddy trails, this {noun} is at home outdoors.",
        "The {noun} that hikers pack for the hut, the trail and the long way back.",
        "Built with the outdoors in mind: {a_noun} that has seen rain, rucksacks and summit huts.",
    ),
    "breakfast": (
        "{a_noun} for slow mornings, when breakfast lasts until noon and coffee is poured twice.",
        "Made for the breakfast table: coffee, toast, the paper, and this {noun}.",
        "The {noun} that belongs to a lazy Sunday breakfast and the smell of fresh coffee.",
        "For everyone who holds that a morning without breakfast is no morning, {a_noun} to wake up with.",
    ),
    "artists": (
        "{a_noun} for artists, and for anyone with paint on their sleeves.",
        "Made for the studio: this {noun} does not mind paint, clay or pencil dust.",
        "The {noun} that artists keep beside the easel, between the brushes and the sketches.",
        "For people who draw, paint and sketch all day, {a_noun} from one studio to another.",
    ),
    "nursery": (
        "{a_noun} for little ones, and for the parents who read the bedtime story.",
        "Made for the nursery: gentle on children, patient with toddlers, easy for parents.",
        "The {noun} that children ask for at bedtime and parents are glad to wash.",
        "For toddlers, babies and their tired parents, {a_noun} that is gentle and safe.",
    ),
    "weddings": (
        "{a_noun} to give at weddings, when the couple has everything but this.",
        "Made as a gift for the bride and groom, this {noun} remembers the day.",
        "The {noun} that newlyweds unwrap first: a wedding gift for a long marriage.",
        "For weddings, engagements and anniversaries, {a_noun} that says it to the couple.",
    ),
    "students": (
        "{a_noun} for students, first flats and shared kitchens.",
        "Made for dorm life: this {noun} survives lectures, exams and flatmates.",
        "The {noun} that students take from the dorm to the library to the exam.",
        "For the first semester and the first flat of one's own, {a_noun} for students on a budget.",
    ),
    "commuters": (
        "{a_noun} for commuters who know the timetable by heart.",
        "Made for the commute: train, platform, office and back with this {noun}.",
        "The {noun} that commuters carry from the early train to the late one.",
        "For crowded trains and busy city streets, {a_noun} that makes the commute shorter.",
    ),
    "readers": (
        "{a_noun} for readers who say one more chapter and mean five.",
        "Made for book lovers: this {noun} keeps company with novels and an armchair.",
        "The {noun} that readers want near the bookshelf, the novel and the reading chair.",
        "For bookworms, book clubs and quiet libraries, {a_noun} to read beside.",
    ),
    "gardeners": (
        "{a_noun} for gardeners who have soil under their nails by nine.",
        "Made for the garden: this {noun} waits by the shed, among seeds and compost.",
        "The {noun} that gardeners reach for between sowing, weeding and harvest.",
        "For allotments, vegetable beds and potting sheds, {a_noun} that gardeners understand.",
    ),
    "music": (
        "{a_noun} for music lovers who own the record and the bootleg.",
        "Made for concerts: this {noun} has a place next to the record player and the guitar.",
        "The {noun} that musicians take on tour and fans take home from the concert.",
        "For bands, record collectors and everyone in the front row, {a_noun} with music in it.",
    ),
}

THEME_CLOSERS: dict[str, tuple[str, ...]] = {
    "hiking": (
        "Hikers tell us it is the first thing they pack.",
        "Take it on the trail; it dries faster than your boots.",
        "{brand} tests everything outdoors, on a hike of three days.",
    ),
    "breakfast": (
        "Best with coffee and nowhere to be this morning.",
        "Breakfast will take longer with it, and that is the point.",
        "{brand} designs for mornings, coffee first.",
    ),
    "artists": (
        "Artists get paint on it, and it looks better for it.",
        "Keep it in the studio; sketches collect around it.",
        "{brand} works with artists, and shows their studios each spring.",
    ),
    "nursery": (
        "Tested by toddlers, approved by parents.",
        "Children grow out of most things, but not out of this.",
        "{brand} has made things for babies and children since our own were small.",
    ),
    "weddings": (
        "Comes gift-wrapped, with a card for the couple.",
        "The couple will think of the wedding whenever they use it.",
        "{brand} wraps every wedding gift by hand.",
    ),
    "students": (
        "Fits a dorm room and a student's purse.",
        "Flatmates will borrow it; put your name on it before the semester starts.",
        "{brand} was begun by two students in a shared flat.",
    ),
    "commuters": (
        "Commuters say it is the best part of the train ride.",
        "Fits under the seat, whatever the train.",
        "{brand} is based a minute from the central station, and commutes too.",
    ),
    "readers": (
        "Goes with a long novel and a rainy afternoon of reading.",
        "Readers give it to readers; book clubs order five.",
        "{brand} donates a book for every ten sold.",
    ),
    "gardeners": (
        "Gardeners leave it out in the garden, and it forgives them.",
        "Looks its best after the harvest, with soil still on it.",
        "{brand} adds a bag of seeds to every order from a gardener.",
    ),
    "music": (
        "Goes well with an old record and the volume up.",
        "Musicians sign theirs after the concert.",
        "{brand} prints the tour dates of a young band inside every parcel.",
    ),
}

MAKE_PHRASES: dict[str, tuple[str, ...]] = {
    "handmade": (
        "Handmade in a small workshop, one at a time.",
        "Every piece is finished by hand, so no two are quite alike.",
        "Made by hand by three craftspeople in one workshop.",
    ),
    "recycled": (
        "Made from recycled material, and recyclable again.",
        "Ninety percent recycled; the rest is being worked on.",
        "Sustainable: recycled material, packed without plastic.",
    ),
    "family firm": (
        "Produced by a family firm, now in its fourth generation.",
        "The family has made these since grandmother opened the factory.",
        "From a family factory where three generations still work.",
    ),
    "built to last": (
        "Comes with a lifetime guarantee: we repair what breaks.",
        "Durable, repairable, and guaranteed for life.",
        "Built to last; spare parts and repair are free for life.",
    ),
    "limited run": (
        "A limited edition of three hundred, numbered.",
        "Numbered and limited; there will be no second edition.",
        "Designed by a guest and sold as a limited edition.",
    ),
    "everyday value": (
        "Good value: a fair price for something used every day.",
        "An everyday price, because not everything has to be precious.",
        "Inexpensive, honest, and good enough for every day.",
    ),
}

ASIDES: tuple[str, ...] = (
    "Ships within two days.",
    "Returns are free for a month.",
    "A present for others or for yourself.",
    "Back in stock after many requests.",
    "Looks even better in use than on this page.",
    "Customers often buy two.",
    "New this season.",
    "One of our oldest designs, hardly changed.",
)
