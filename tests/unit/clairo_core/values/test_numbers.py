"""Numbers and prices: worked examples, laws over drawn amounts and styles, and no reading by chance."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clairo_core.values.numbers import CURRENCY_CODES, number_in


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("12.50", 12.5),
        (" 1.5 ", 1.5),
        ("-2e1", -20),
        ("€ .5", 0.5),
        ("$8.00", 8),
        ("$1,299.00", 1299),
        ("15.00 €", 15),
        ("9,90 €", 9.9),
        ("1.234,56 €", 1234.56),
        ("USD 20", 20),
        ("₹499", 499),
        ("₹1,23,456.50", 123456.5),
        ("CHF 30", 30),
        ("CHF 30.–", 30),
        ("1'299.00 CHF", 1299),
        ("1\u202f234,56\u00a0€", 1234.56),
        ("12.345.678 Rp", 12345678),
        ("1,299", 1299),
        ("0,125", 0.125),
        ("1.299", 1.299),
        ("1.299 €", 1299),
        ("0.299 €", 0.299),
        ("1.2995 €", 1.2995),
        ("-$5", -5),
        ("$-5", -5),
        ("−5,00 kr", -5),
        ("R$ 10,00", 10),
        ("15 %", 15),
        ("99 zł", 99),
    ],
)
def test_a_price_as_shops_write_it_is_this_number(text: str, number: float) -> None:
    assert number_in(text) == number


@pytest.mark.parametrize(
    "text",
    [
        *[
            "",
            "a dozen",
            "1e400",
            "nan",
            "inf",
            "1_000",
            "٣",
            "--1",
            "-$-1",
            ".",
            ",",
            "€",
            "12 cm",
            "usd 20",
            "XXL 30",
        ],
        *["1,23,45", "1.2.3", "1,299,00", "1.299.00", "1 29", "12 345,6 7", "5-", "2024-05-31", "31.12.2024", "12:30"],
        *["$12.50 - $19.99", "USD 20 €", "1'299 500", "100, 200", "5 x 3", "12 EUR each", "01,299.00.0"],
    ],
)
def test_a_value_that_is_not_a_number_is_nan(text: str) -> None:
    assert math.isnan(number_in(text))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_that_a_program_printed_is_read_back_exactly(number: float) -> None:
    assert number_in(repr(number)) == number


currencies = st.sampled_from(["$", "€", "£", "¥", "₹", "US$", *sorted(CURRENCY_CODES)])
styles = st.sampled_from(
    [(",", "."), (".", ","), (" ", ","), ("'", "."), ("\u202f", ","), ("’", "."), ("", "."), ("", ",")]
)


@given(
    st.integers(0, 10**11),
    styles,
    currencies,
    st.sampled_from(["{c}{a}", "{c} {a}", "{a} {c}", "{a}{c}"]),
    st.booleans(),
)
def test_a_price_in_any_style_is_its_amount(
    cents: int, style: tuple[str, str], currency: str, form: str, is_negative: bool
) -> None:
    group, mark = style
    amount = f"{cents / 100:,.2f}".replace(",", "g").replace(".", mark).replace("g", group)
    text = ("-" if is_negative else "") + form.format(c=currency, a=amount)
    assert number_in(text) == pytest.approx(-cents / 100 if is_negative else cents / 100)


@given(st.text(max_size=12) | st.text("0123456789.,' $€-+eE%CHF", max_size=12))
def test_any_text_is_a_finite_number_or_nan_and_spaces_around_it_do_not_matter(text: str) -> None:
    number = number_in(text)
    assert math.isnan(number) or math.isfinite(number)
    assert number_in(f" {text}\u00a0") == pytest.approx(number, nan_ok=True)
    if not any(letter in "0123456789" for letter in text):
        assert math.isnan(number)
