"""Read a number, with a currency or `%` if it has one, as shops write prices. Start at `number_in`.

Of two kinds of marks the last is decimal (1,299.00 and 1.299,00), and a repeated mark groups digits (1.299.000). A
single comma before exactly three digits groups (1,299), and so does a point beside a currency (1.299 €); elsewhere a
single mark is decimal (9,90 and 1.299). Currencies are not converted.
"""

import math
import re
import unicodedata

CURRENCY_CODES = frozenset(
    """
    AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP
    CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR
    ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT
    MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD
    SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VES VND
    VUV WST XAF XCD XOF XPF YER ZAR ZMW ZWG
    """.split()  # noqa: SIM905 - quoting every code reads worse
)
"""ISO 4217."""
_OTHER_UNITS = frozenset("kr kr. zł Kč Ft lei лв лв. руб руб. Fr Fr. SFr. Rs Rs. Rp RM %".split())  # noqa: SIM905

_PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_UNIT = r"[^\d\s.,'+-]{1,4}\.?"
_PRICE = re.compile(
    rf"(?P<sign>[+-]?)(?P<before>{_UNIT})? ?(?P<inner_sign>[+-]?)"
    rf"(?P<amount>\d[\d.,' ]*(?<! )|[.,]\d+)((?<=[.,])[-–—]{{1,2}})? ?(?P<after>{_UNIT})?",
    re.ASCII,
)
_SPACED = re.compile(r"([1-9]\d{0,2}(?P<space>[' ])\d{3}(?:(?P=space)\d{3})*)([.,]\d+)?", re.ASCII)
_GROUPED = {
    ".": re.compile(r"[1-9]\d{0,2}(\.\d{3})+", re.ASCII),
    # In India, groups before the last have two digits.
    ",": re.compile(r"[1-9]\d{0,2}(,\d{2,3})*,\d{3}", re.ASCII),
}
_VARIANTS = str.maketrans({"−": "-", "’": "'"})


def number_in(text: str) -> float:
    """Parse text as a number; NaN if it is not one.

    >>> number_in("1.234,56 €"), number_in("$1,299.00"), number_in("CHF 30.–"), number_in("a dozen")
    (1234.56, 1299.0, 30.0, nan)
    """
    # Splitting also replaces the narrow and unbreakable spaces that printed prices have.
    spaced = " ".join(text.split()).translate(_VARIANTS)
    if _PLAIN.fullmatch(spaced):
        return _finite(float(spaced))
    price = _PRICE.fullmatch(spaced)
    if price is None:
        return math.nan
    units = [unit for unit in price.group("before", "after") if unit]
    signs = "".join(price.group("sign", "inner_sign"))
    if len(units) > 1 or len(signs) > 1 or not all(map(_is_unit, units)):
        return math.nan
    amount = _amount(price["amount"], has_currency=units not in ([], ["%"]))
    return _finite(-amount if signs == "-" else amount)


def _is_unit(text: str) -> bool:
    if text in CURRENCY_CODES or text in _OTHER_UNITS:
        return True
    # €, ₹, but also R$ and US$.
    return unicodedata.category(text[-1]) == "Sc" and all("A" <= letter <= "Z" for letter in text[:-1])


def _amount(digits: str, *, has_currency: bool) -> float:
    """Parse digits with marks; NaN if the marks have no reading."""
    if spaced := _SPACED.fullmatch(digits):
        return float(spaced[1].replace(spaced["space"], "") + (spaced[3] or "").replace(",", "."))
    marks = [letter for letter in digits if not letter.isdecimal()]
    if not set(marks) <= {".", ","}:
        return math.nan
    if len(marks) == 1:
        groups = bool(_GROUPED[marks[0]].fullmatch(digits)) and (has_currency or marks[0] == ",")
        return float(digits.replace(marks[0], "" if groups else "."))
    whole, decimals = digits, ""
    if len(set(marks)) == 2:
        whole, _, decimals = digits.rpartition(marks[-1])
    if marks and not _GROUPED[marks[0]].fullmatch(whole):
        return math.nan
    return float(f"{whole.replace(marks[0], '') if marks else whole}.{decimals}")


def _finite(number: float) -> float:
    return number if math.isfinite(number) else math.nan
