"""Write the small shops beside this file, each in a layout as published: python -m tests.data.shops.make_shops.

Every shop sells the same 40 products to the same 60 customers, who each prefer one kind. Start at `write_shops`.
"""

import csv
import datetime
import io
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

HERE = Path(__file__).parent
KINDS = {
    "Mugs": ("mug", "holds tea or coffee", "Home > Kitchen > Mugs", "Size", ("Small", "Large")),
    "Shirts": ("shirt", "woven from soft cotton", "Clothing > Shirts", "Size", ("S", "M", "L")),
    "Lamps": ("lamp", "lights a desk or a corner", "Home > Lighting", "Plug", ("EU", "UK")),
    "Shoes": ("shoe", "runs light on any path", "Clothing > Shoes", "Size", ("40", "42", "44")),
}
COLOURS = {"Red": "Rot", "Blue": "Blau", "Green": "Grün", "Grey": "Grau", "White": "Weiß"}
STYLES = ("Fjord", "Café")
GERMAN_KINDS = {"Mugs": "Tasse", "Shirts": "Hemd", "Lamps": "Lampe", "Shoes": "Schuh"}
FIRST_DAY = datetime.datetime(2024, 3, 1, 8, tzinfo=datetime.timezone(datetime.timedelta(hours=1)))


@dataclass(frozen=True)
class Product:
    number: int
    kind: str
    style: str
    colour: str
    price: float

    @property
    def title(self) -> str:
        return f"{self.style} {KINDS[self.kind][0]} {self.colour.lower()}"

    @property
    def handle(self) -> str:
        return self.title.lower().replace(" ", "-").replace("é", "e")

    @property
    def story(self) -> str:
        return f"A {self.colour.lower()} {KINDS[self.kind][0]} that {KINDS[self.kind][1]}."

    @property
    def html(self) -> str:
        return f"<p>{self.story}</p>\n<ul><li>{self.style} &amp; friends</li></ul>"

    @property
    def variants(self) -> list[tuple[str, str]]:
        """SKU and option."""
        return [(f"{self.number:03}-{option}", option) for option in KINDS[self.kind][4]]

    @property
    def picture(self) -> str:
        return f"https://cdn.example.com/{self.handle}.jpg"


@dataclass(frozen=True)
class Event:
    customer: int
    product: Product
    at: datetime.datetime


def products() -> list[Product]:
    draw = random.Random(19)
    kinds = [(kind, style, colour) for kind in KINDS for style in STYLES for colour in COLOURS]
    return [Product(number, *kind, price=draw.randrange(500, 150_000) / 100) for number, kind in enumerate(kinds)]


def visits() -> list[list[Event]]:
    """Baskets in order of time: events of one customer at one time."""
    draw = random.Random(20)
    sold = products()
    baskets = []
    for customer in range(60):
        liked = [product for product in sold if product.kind == list(KINDS)[customer % 4]]
        at = FIRST_DAY + datetime.timedelta(minutes=draw.randrange(60 * 24 * 60))
        for _ in range(draw.randrange(2, 5)):
            at += datetime.timedelta(minutes=draw.randrange(30, 60 * 24 * 5), seconds=draw.randrange(60))
            chosen = draw.sample(liked if draw.random() < 0.9 else sold, draw.randrange(1, 4))
            baskets.append([Event(customer, product, at) for product in chosen])
    return sorted(baskets, key=lambda basket: basket[0].at)


def email(customer: int) -> str:
    return f"customer{customer:02}@example.com"


def csv_text(header: str, rows: Sequence[Mapping[str, object]], separator: str = ",") -> str:
    """A table with blank fields where a row lacks a column."""
    file = io.StringIO(newline="")
    writer = csv.DictWriter(
        file, next(csv.reader([header], delimiter=separator)), delimiter=separator, lineterminator="\n"
    )
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


SHOPIFY_PRODUCTS = (
    "Handle,Title,Body (HTML),Vendor,Product Category,Type,Tags,Published,Option1 Name,Option1 Value,Option2 Name,"
    "Option2 Value,Option3 Name,Option3 Value,Variant SKU,Variant Grams,Variant Inventory Tracker,"
    "Variant Inventory Policy,Variant Fulfillment Service,Variant Price,Variant Compare At Price,"
    "Variant Requires Shipping,Variant Taxable,Variant Barcode,Image Src,Image Position,Image Alt Text,Gift Card,"
    "SEO Title,SEO Description,Variant Image,Variant Weight Unit,Cost per item,Status"
)
SHOPIFY_ORDERS = (
    "Name,Email,Financial Status,Paid at,Fulfillment Status,Fulfilled at,Accepts Marketing,Currency,Subtotal,Shipping,"
    "Taxes,Total,Discount Code,Discount Amount,Shipping Method,Created at,Lineitem quantity,Lineitem name,"
    "Lineitem price,Lineitem compare at price,Lineitem sku,Lineitem requires shipping,Lineitem taxable,"
    "Lineitem fulfillment status,Billing Name,Id,Tags,Source,Phone"
)


def write_shopify(folder: Path) -> None:
    draw = random.Random(21)
    rows: list[dict[str, object]] = []
    for product in products():
        parent = {
            "Handle": product.handle,
            "Title": product.title,
            "Body (HTML)": product.html,
            "Vendor": product.style,
            "Product Category": KINDS[product.kind][2],
            "Type": product.kind,
            "Tags": f"{product.colour}, sale",
            "Published": "true",
            "Image Src": product.picture,
            "Image Position": 1,
            "Status": "active",
        }
        # Every fifth product has no options: Shopify fills in a title.
        has_options = product.number % 5 > 0
        variants = product.variants if has_options else [(f"{product.number:03}", "Default Title")]
        for place, (sku, option) in enumerate(variants):
            variant = {"Handle": product.handle, "Option1 Value": option, "Variant SKU": sku}
            if place == 0:
                variant |= {"Option1 Name": KINDS[product.kind][3] if has_options else "Title"}
            rows.append((parent if place == 0 else {}) | variant | {"Variant Price": f"{product.price:.2f}"})
        rows.append({"Handle": product.handle, "Image Src": f"{product.picture}?side=2", "Image Position": 2})
    (folder / "products_export.csv").write_text(csv_text(SHOPIFY_PRODUCTS, rows), encoding="utf-8")
    orders: list[dict[str, object]] = []
    for number, basket in enumerate(visits(), start=1001):
        at = f"{basket[0].at:%Y-%m-%d %H:%M:%S %z}"
        whole = {
            "Email": "" if number % 40 == 0 else email(basket[0].customer),
            "Financial Status": "paid",
            "Paid at": at,
            "Currency": "EUR",
            "Created at": at,
            "Source": "pos" if number % 40 == 0 else "web",
        }
        for place, event in enumerate(basket):
            product = event.product
            skus = [sku for sku, _ in product.variants] if product.number % 5 else [f"{product.number:03}"]
            line = {
                "Name": f"#{number}",
                "Lineitem quantity": 1,
                "Lineitem name": product.title,
                "Lineitem price": f"{product.price:.2f}",
                "Lineitem sku": draw.choice(skus),
            }
            orders.append((whole if place == 0 else {}) | line)
        if number % 50 == 0:
            orders.append({"Name": f"#{number}", "Lineitem quantity": 1, "Lineitem name": "Gift wrap"})
    (folder / "orders_export.csv").write_text(csv_text(SHOPIFY_ORDERS, orders), encoding="utf-8")


WOO_PRODUCTS = (
    'ID,Type,SKU,"GTIN, UPC, EAN, or ISBN",Name,Published,Is featured?,Visibility in catalog,Short description,'
    "Description,Date sale price starts,Date sale price ends,Tax status,Tax class,In stock?,Stock,Low stock amount,"
    "Backorders allowed?,Sold individually?,Weight (kg),Length (cm),Width (cm),Height (cm),Allow customer reviews?,"
    "Purchase note,Sale price,Regular price,Categories,Tags,Shipping class,Images,Download limit,Download expiry days,"
    "Parent,Grouped products,Upsells,Cross-sells,External URL,Button text,Position,Attribute 1 name,"
    "Attribute 1 value(s),Attribute 1 visible,Attribute 1 global"
)
WOO_ORDERS = (
    "Order Number,Order Status,Order Date,First Name (Billing),Email (Billing),SKU,Item #,Item Name,"
    "Quantity (- Refund),Item Cost"
)


def write_woocommerce(folder: Path) -> None:
    draw = random.Random(22)
    rows: list[dict[str, object]] = []
    for product in products():
        number, sku = 100 + 10 * product.number, f"W{product.number:03}"
        path = KINDS[product.kind][2]
        rows.append(
            {
                "ID": number,
                "Type": "variable",
                "SKU": sku,
                "Name": product.title,
                "Published": 1,
                "Visibility in catalog": "visible",
                "Short description": f"<em>{product.style}</em>",
                "Description": product.html.replace("\n", "\\n"),
                "Categories": f"{path}, Gifts > {product.colour}",
                "Images": f"{product.picture}, {product.picture}?side=2",
                "Attribute 1 name": KINDS[product.kind][3],
                "Attribute 1 value(s)": ", ".join(option for _, option in product.variants),
                "Attribute 1 visible": 1,
                "Attribute 1 global": 1,
            }
        )
        for place, (variant_sku, option) in enumerate(product.variants, start=1):
            rows.append(
                {
                    "ID": number + place,
                    "Type": "variation",
                    "SKU": f"W{variant_sku}",
                    "Name": f"{product.title} - {option}",
                    "Published": 1,
                    "Regular price": f"{product.price:.2f}",
                    # A parent is named by its SKU, or by its id where it has none.
                    "Parent": sku if product.number % 2 else f"id:{number}",
                    "Position": place,
                    "Attribute 1 name": KINDS[product.kind][3],
                    "Attribute 1 value(s)": option,
                    "Attribute 1 global": 1,
                }
            )
    (folder / "wc-product-export.csv").write_text(csv_text(WOO_PRODUCTS, rows), encoding="utf-8-sig")
    orders: list[dict[str, object]] = []
    for number, basket in enumerate(visits(), start=501):
        for place, event in enumerate(basket, start=1):
            orders.append(
                {
                    "Order Number": number,
                    "Order Status": "Completed",
                    "Order Date": f"{event.at:%Y-%m-%d %H:%M}",
                    "Email (Billing)": email(event.customer),
                    "SKU": f"W{draw.choice(event.product.variants)[0]}",
                    "Item #": place,
                    "Item Name": event.product.title,
                    "Quantity (- Refund)": 1,
                    "Item Cost": f"{event.product.price:.2f}",
                }
            )
    (folder / "orders.csv").write_text(csv_text(WOO_ORDERS, orders), encoding="utf-8-sig")


def write_ga4_merchant(folder: Path) -> None:
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<rss version="2.0" xmlns:g="http://base.google.com/ns/1.0">',
        "<channel>",
        "<title>Example shop</title>",
        "<link>https://shop.example.com</link>",
    ]
    for product in products():
        lines += [
            "<item>",
            f"<g:id>SKU_{product.number}</g:id>",
            f"<title>{escape(product.title)}</title>",
            f"<description><![CDATA[{product.html}]]></description>",
            f"<link>https://shop.example.com/{product.handle}</link>",
            f"<g:image_link>{product.picture}</g:image_link>",
            f"<g:price>{product.price:.2f} EUR</g:price>",
            f"<g:brand>{product.style}</g:brand>",
            f"<g:product_type>{escape(KINDS[product.kind][2])}</g:product_type>",
            "<g:availability>in_stock</g:availability>",
            "<g:shipping><g:country>DE</g:country><g:price>4.90 EUR</g:price></g:shipping>",
            "</item>",
        ]
    (folder / "feed.xml").write_text("\n".join([*lines, "</channel>", "</rss>", ""]), encoding="utf-8")
    draw = random.Random(23)
    events = []
    for session, basket in enumerate(visits(), start=1_700_000_000):
        pseudo_id = f"{100_000 + basket[0].customer}.{1_700_000_000 + basket[0].customer}"
        microseconds = int(basket[0].at.timestamp() * 10**6) + draw.randrange(10**6)
        viewed = [[event] for event in basket]
        for name, of_event in [("page_view", []), *(("view_item", one) for one in viewed), ("purchase", basket)]:
            microseconds += draw.randrange(2 * 10**6, 90 * 10**6)
            items = [
                {
                    "item_id": f"SKU_{event.product.number}",
                    "item_name": event.product.title,
                    "price": event.product.price,
                    "quantity": "1",
                }
                for event in of_event
            ]
            parameter = {"key": "ga_session_id", "value": {"int_value": str(session)}}
            page = {"key": "page_location", "value": {"string_value": "https://shop.example.com/"}}
            events.append(
                {
                    "event_date": f"{basket[0].at:%Y%m%d}",
                    # BigQuery writes whole numbers as text.
                    "event_timestamp": str(microseconds),
                    "event_name": name,
                    "event_params": [page, parameter],
                    "user_pseudo_id": pseudo_id,
                    "items": items,
                }
            )
    text = "".join(json.dumps(event, separators=(",", ":")) + "\n" for event in events)
    (folder / "events.json").write_text(text, encoding="utf-8")


GERMAN_PRODUCTS = "Artikelnummer;Bezeichnung;Beschreibung;Warengruppe;Farbe;Preis"
GERMAN_ORDERS = "Bestellnummer;Kundennummer;Artikelnummer;Menge;Bestelldatum"


def german_price(price: float) -> str:
    return f"{price:,.2f} €".replace(",", " ").replace(".", ",").replace(" ", ".", price >= 1000)


def write_german_csv(folder: Path) -> None:
    rows = [
        {
            "Artikelnummer": 10_000 + product.number,
            "Bezeichnung": f"{GERMAN_KINDS[product.kind]} {product.style}, {COLOURS[product.colour].lower()}",
            "Beschreibung": f'Schöne {GERMAN_KINDS[product.kind]} "{product.style}"; für jeden Tag',
            "Warengruppe": KINDS[product.kind][2],
            "Farbe": COLOURS[product.colour],
            "Preis": german_price(product.price),
        }
        for product in products()
    ]
    (folder / "artikel.csv").write_text(csv_text(GERMAN_PRODUCTS, rows, ";"), encoding="cp1252")
    orders = [
        {
            "Bestellnummer": number,
            "Kundennummer": 7000 + event.customer,
            "Artikelnummer": 10_000 + event.product.number,
            "Menge": 1,
            "Bestelldatum": f"{event.at:%d.%m.%Y %H:%M}",
        }
        for number, basket in enumerate(visits(), start=1)
        for event in basket
    ]
    (folder / "bestellungen.csv").write_text(csv_text(GERMAN_ORDERS, orders, ";"), encoding="cp1252")


SHOPS = {
    "shopify": write_shopify,
    "woocommerce": write_woocommerce,
    "ga4_merchant": write_ga4_merchant,
    "german_csv": write_german_csv,
}


def write_shops(folder: Path) -> None:
    """Write the tables of every shop into its own folder; their dataset.toml files are written by hand."""
    for name, write in SHOPS.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        write(folder / name)


if __name__ == "__main__":
    write_shops(HERE)
