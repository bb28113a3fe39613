"""Hostile bodies: deep, endless, cut short, or mislabelled, with the expected status of each."""

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.running_service import drawn_picture

JSON = "application/json"
DEEP = 100_000
MEBIBYTE = 2**20


@dataclass(frozen=True)
class Hostile:
    """A body, its path, and the expected status."""

    path: str
    body: bytes
    status: int
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)


def feedback(**fields: object) -> bytes:
    event = {"event_id": "e", "user_id": "u", "item_id": "item-1", "type": "click"}
    return json.dumps({"events": [event | fields]}).encode()


def form(*parts: bytes, end: bytes = b"--cut--\r\n") -> bytes:
    return b"".join(b"--cut\r\nContent-Disposition: form-data; " + part + b"\r\n" for part in parts) + end


PNG = drawn_picture()
FORM = "multipart/form-data; boundary=cut"
NDJSON = "application/x-ndjson"
GZIP = {"Content-Encoding": "gzip"}

BODIES: dict[str, Hostile] = {
    "lists in lists": Hostile("/recommend", b'{"history": ' + b"[" * DEEP + b"]" * DEEP + b"}", 400),
    "objects in objects": Hostile("/items", b'{"a":' * DEEP + b"1" + b"}" * DEEP, 400),
    "lists in lists in a filter": Hostile(
        "/recommend", b'{"history": [], "filter": ' + b'{"not": ' * 900 + b"{}" + b"}" * 900 + b"}", 422
    ),
    "deep attributes of a form": Hostile("/items", form(b'name="attributes"\r\n\r\n' + b"[" * DEEP), 422, FORM),
    "NaN for a limit": Hostile("/recommend", b'{"history": [], "limit": NaN}', 422),
    "Infinity for diversity": Hostile("/recommend", b'{"history": [], "diversity": Infinity}', 422),
    "minus Infinity for a time": Hostile("/feedback", feedback(timestamp=float("-inf")), 422),
    "NaN for a time": Hostile("/feedback", feedback(timestamp=float("nan")), 422),
    "NaN for a time in a history": Hostile(
        "/recommend",
        b'{"history": [{"item_id": "item-1", "timestamp": NaN}, {"item_id": "item-2", "timestamp": 1}]}',
        422,
    ),
    "1e999 for a time": Hostile("/feedback", feedback(timestamp=0).replace(b" 0}", b" 1e999}"), 422),
    "a number of 5,000 digits": Hostile("/recommend", b'{"history": [], "seed": ' + b"9" * 5000 + b"}", 400),
    "a number of 4,000 digits": Hostile("/recommend", b'{"history": [], "seed": ' + b"9" * 4000 + b"}", 422),
    "a fraction of 4,000 digits": Hostile("/recommend", b'{"history": [], "limit": 1.' + b"9" * 4000 + b"}", 422),
    "true for a limit": Hostile("/recommend", b'{"history": [], "limit": true}', 422),
    "half a surrogate pair in a user": Hostile("/recommend", b'{"user_id": "\\ud800"}', 422),
    "half a surrogate pair in an event": Hostile("/feedback", feedback(event_id="\ud800"), 422),
    "half a surrogate pair in a history": Hostile("/recommend", b'{"history": ["\\udfff"]}', 422),
    "a zero byte in an event": Hostile("/feedback", feedback(event_id="a\0b"), 422),
    "a zero byte in a user's feedback": Hostile("/feedback", feedback(user_id="\0"), 422),
    "a zero byte in a user": Hostile("/recommend", b'{"user_id": "a\\u0000b"}', 422),
    "a zero byte in a history": Hostile("/recommend", b'{"history": ["\\u0000"]}', 200),
    "a zero byte in an item": Hostile("/items", b'{"item_id": "a\\u0000b", "title": "x"}', 422),
    "a path for an item": Hostile("/items", b'{"item_id": "../../../etc/passwd", "title": "x"}', 422),
    "another system's path": Hostile("/items", b'{"item_id": "..\\\\..\\\\boot.ini", "title": "x"}', 201),
    "an id of 1 MiB": Hostile("/items", b'{"item_id": "' + b"x" * MEBIBYTE + b'", "title": "x"}', 422),
    "a field twice": Hostile("/items", b'{"item_id": "one", "item_id": "two", "title": "x"}', 201),
    "a field of objects' own": Hostile("/items", b'{"item_id": "p", "title": "x", "__proto__": {"a": 1}}', 422),
    "a byte order mark": Hostile("/recommend", b"\xef\xbb\xbf" + b'{"history": []}', 200),
    "UTF-16": Hostile("/items", '{"item_id": "x", "title": "x"}'.encode("utf-16"), 201),
    "UTF-8 too long": Hostile("/recommend", b'{"history": ["\xc0\xaf"]}', 400),
    "UTF-8 cut short": Hostile("/items", b'{"item_id": "x", "title": "\xf0\x9f"}', 400),
    "two documents": Hostile("/recommend", b'{"history": []}{"history": []}', 400),
    "a hundred thousand items of history": Hostile("/recommend", json.dumps({"history": ["i"] * 10**5}).encode(), 422),
    "a thousand requests": Hostile(
        "/recommend/batch", json.dumps({"requests": [{"history": []}] * 1000}).encode(), 422
    ),
    "no requests": Hostile("/recommend/batch", b'{"requests": []}', 422),
    "two thousand events": Hostile("/feedback", json.dumps({"events": [1] * 2000}).encode(), 422),
    "gzip": Hostile("/recommend", gzip.compress(b'{"history": []}'), 200, headers=GZIP),
    "a gzip bomb": Hostile("/items", gzip.compress(bytes(100 * MEBIBYTE)), 413, headers=GZIP),
    "a gzip bomb of lines": Hostile("/items/bulk", gzip.compress(b"{}\n" * 101_000), 413, NDJSON, GZIP),
    "a gzip bomb of blank lines": Hostile("/items/bulk", gzip.compress(b"\n" * 257 * MEBIBYTE), 413, NDJSON, GZIP),
    "a gzip bomb of a form": Hostile("/items", gzip.compress(form(bytes(100 * MEBIBYTE))), 413, FORM, GZIP),
    "gzip within gzip": Hostile("/items", gzip.compress(gzip.compress(b"{}")), 400, headers=GZIP),
    "gzip cut short": Hostile("/items", gzip.compress(b"{}" * 1000)[:-9], 400, headers=GZIP),
    "gzip with a byte behind its end": Hostile("/items", gzip.compress(b"{}") + b"\0", 400, headers=GZIP),
    "JSON labelled as gzip": Hostile("/items", b'{"item_id": "x", "title": "x"}', 400, headers=GZIP),
    "nothing labelled as gzip": Hostile("/items", b"", 400, headers=GZIP),
    "gzip without a label": Hostile("/items", gzip.compress(b'{"item_id": "x", "title": "x"}'), 400),
    "an unknown encoding": Hostile("/items", b"\x00" * 100, 415, headers={"Content-Encoding": "br, x-evil"}),
    "gzip twice": Hostile("/items", b"\x00" * 100, 415, headers={"Content-Encoding": "gzip, gzip"}),
    "XML": Hostile("/items", b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', 415, "application/xml"),
    "a pickle": Hostile("/items", b"\x80\x04cos\nsystem\n(S'id'\ntR.", 415, "application/x-python-pickle"),
    "a form labelled as JSON": Hostile("/recommend", b"history=item-1", 400),
    "JSON labelled as a form": Hostile("/items", b'{"item_id": "x", "title": "x"}', 400, FORM),
    "JSON labelled as lines": Hostile("/items/bulk", b"[" * DEEP, 202, NDJSON),
    "lines labelled as JSON": Hostile("/items/bulk", b'{"item_id": "x"}\n', 415),
    "lines that are blank": Hostile("/items/bulk", b"\n\r\n \n", 422, NDJSON),
    "lines of zero bytes": Hostile("/items/bulk", bytes(1000) + b"\n" + bytes(10), 202, NDJSON),
    "a hundred and one thousand lines": Hostile("/items/bulk", b"{}\n" * 101_000, 413, NDJSON),
    "a form cut within a picture": Hostile(
        "/items", form(b'name="picture"; filename="x.png"\r\n\r\n' + PNG[:50], end=b""), 400, FORM
    ),
    "a form with a zero byte for a name": Hostile("/items", form(b'name="\0"\r\n\r\nx'), 422, FORM),
    "a form with a path for a file's name": Hostile(
        "/items",
        form(b'name="item_id"\r\n\r\nform-path', b'name="picture"; filename="../../etc/cron.d/x"\r\n\r\n' + PNG),
        201,
        FORM,
    ),
    "a form with a part of no name": Hostile("/items", form(b'filename="x"\r\n\r\nx'), 400, FORM),
    "a form with 10,000 headers": Hostile(
        "/items", b"--cut\r\n" + b"X-A: b\r\n" * 10_000 + b"\r\n\r\n--cut--\r\n", 400, FORM
    ),
    "a form whose boundary is empty": Hostile(
        "/items", form(b'name="item_id"\r\n\r\nx'), 400, "multipart/form-data; boundary="
    ),
    "a form whose boundary is long": Hostile(
        "/items", form(b'name="item_id"\r\n\r\nx'), 400, "multipart/form-data; boundary=" + "b" * 5000
    ),
}
