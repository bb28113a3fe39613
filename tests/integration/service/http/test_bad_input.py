"""Every bad input gets a problem document that names the fault, never a 500."""

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.running_service import drawn_picture

MEBIBYTE = 1024 * 1024
JSON = "application/json"
FORM = "multipart/form-data; boundary=cut"


def problem_of(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert {"type", "title", "status", "detail", "instance", "request_id"} <= problem.keys()
    assert problem["status"] == status
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert "Traceback" not in answer.text
    return problem  # type: ignore[no-any-return]


def item(**fields: Any) -> bytes:
    return json.dumps({"item_id": "x", "title": "X"} | fields).encode()


BROKEN_BODIES = {
    "nothing": b"",
    "half a document": b'{"item_id": "x", "ti',
    "not UTF-8": b'{"item_id": "\xff\xfe"}',
    "extreme nesting": b'{"item_id": ' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    "a number of 10,000 digits": b'{"item_id": ' + b"9" * 10_000 + b"}",
}


@pytest.mark.parametrize("body", BROKEN_BODIES.values(), ids=BROKEN_BODIES.keys())
@pytest.mark.parametrize("path", ["/items", "/recommend"])
async def test_an_unparsable_body_is_malformed(client: httpx.AsyncClient, path: str, body: bytes) -> None:
    answer = await client.post(path, content=body, headers={"content-type": JSON})
    problem_of(answer, 422 if not body and path == "/recommend" else 400)


WRONG_ITEMS = {
    "a list": b"[]",
    "a text": b'"x"',
    "null": b"null",
    "no id": b'{"title": "X"}',
    "an empty id": item(item_id=""),
    "an id too long": item(item_id="x" * 257),
    "an id with a zero byte": item(item_id="a\x00b"),
    "an id with a line break": item(item_id="a\nb"),
    "an id with half a surrogate pair": b'{"item_id": "\\ud800", "title": "X"}',
    "an id that is a path": item(item_id="../etc/passwd"),
    "an id of a dot": item(item_id="."),
    "an id with an empty part": item(item_id="a//b"),
    "an id that ends like a call": item(item_id="a/picture"),
    "an id with a space at the end": item(item_id="a "),
    "an id that is a number": item(item_id=7),
    "an unknown field": item(colour="blue"),
    "a field whose name is half a surrogate pair": b'{"item_id": "x", "title": "X", "\\udfff": 1}',
    "NaN": b'{"item_id": "x", "title": NaN}',
    "a title of 100,000 characters": item(title="x" * 100_000),
    "a title with a zero byte": item(title="a\x00b"),
    "half a surrogate pair in a text": b'{"item_id": "x", "title": "\\udc00"}',
    "texts nested": item(texts={"a": {"b": "c"}}),
    "title twice": item(texts={"title": "Y"}),
    "half a surrogate pair in an attribute": b'{"item_id": "x", "title": "X", "attributes": {"brand": "\\ud800"}}',
    "half a surrogate pair in a list": b'{"item_id": "x", "title": "X", "attributes": {"sizes": ["S", "\\ud800"]}}',
    "attributes that are objects": item(attributes={"price": {"amount": 18}}),
    "too many attributes": item(attributes={str(n): "x" for n in range(51)}),
    "neither words nor a picture": b'{"item_id": "x"}',
    "blank words alone": b'{"item_id": "x", "title": "  "}',
    "a picture that is not base64": item(picture="%%%"),
    "a picture as a data url": item(picture="data:image/png;base64,AAAA"),
}


@pytest.mark.parametrize("body", WRONG_ITEMS.values(), ids=WRONG_ITEMS.keys())
async def test_an_item_with_a_wrong_field_is_refused_by_name(client: httpx.AsyncClient, body: bytes) -> None:
    answer = await client.post("/items", content=body, headers={"content-type": JSON})
    assert problem_of(answer, 422)["errors"]
    assert (await client.get("/items/x")).status_code == 404


async def test_a_filter_that_is_not_unicode_is_refused_by_name(client: httpx.AsyncClient) -> None:
    boost = b'{"boost": [{"filter": {"attribute": "brand", "equals": "\\ud800"}, "factor": 2}]}'
    for method, path in (("PUT", "/placements/home"), ("POST", "/recommend")):
        answer = await client.request(method, path, content=boost, headers={"content-type": JSON})
        (error,) = problem_of(answer, 422)["errors"]
        assert error["msg"] == "the text is not Unicode: it has half a surrogate pair"
        assert error["loc"][-3:] == [0, "filter", "equals"]


@pytest.mark.parametrize("url", ["/items/%FF", "/items/%ED%A0%80", "/users/%C3", "/items?cursor=%FF"])
async def test_a_url_that_is_not_utf8_names_no_other_item(client: httpx.AsyncClient, url: str) -> None:
    if url.startswith("/items/"):
        posted = await client.put("/items/%EF%BF%BD", content=b'{"title": "X"}', headers={"content-type": JSON})
        assert posted.is_success
    problem = problem_of(await client.get(url), 400)
    assert problem["type"] == "urn:clairo:problem:malformed-url"


PICTURES = {
    "words": b"this is no picture",
    "nothing": b"",
    "a gif": b"GIF89a" + bytes(100),
    "an svg": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
    "half a png": drawn_picture(size=(400, 400))[:300],
    "half a jpeg": drawn_picture(kind="JPEG", size=(400, 400))[:600],
    "a png's first bytes": b"\x89PNG\r\n\x1a\n",
}


@pytest.mark.parametrize("picture", PICTURES.values(), ids=PICTURES.keys())
async def test_an_unreadable_picture_is_a_415_and_nothing_is_stored(client: httpx.AsyncClient, picture: bytes) -> None:
    as_json = await client.post("/items", json={"item_id": "x", "picture": base64.b64encode(picture).decode()})
    problem_of(as_json, 415)
    form = await client.post("/items", data={"item_id": "x", "title": "X"}, files={"picture": ("x.png", picture)})
    problem_of(form, 415)
    assert (await client.get("/items/x")).status_code == 404


async def test_a_picture_of_too_many_pixels_is_a_413(client: httpx.AsyncClient) -> None:
    huge = drawn_picture(size=(8000, 6000))
    problem_of(await client.post("/items", data={"item_id": "x"}, files={"picture": ("x.png", huge)}), 413)


async def test_a_picture_of_too_many_bytes_is_a_413(client: httpx.AsyncClient) -> None:
    padded = drawn_picture() + bytes(11 * MEBIBYTE)
    problem_of(await client.post("/items", data={"item_id": "x"}, files={"picture": ("x.png", padded)}), 413)


async def test_50_mebibytes_are_refused_by_content_length(client: httpx.AsyncClient) -> None:
    read = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(50):
            read += MEBIBYTE
            yield bytes(MEBIBYTE)

    headers = {"content-type": FORM, "content-length": str(50 * MEBIBYTE)}
    problem_of(await client.post("/items", content=body(), headers=headers), 413)
    assert read == 0


@pytest.mark.parametrize(
    ("path", "content_type", "most_read"),
    [("/items", JSON, 18 * MEBIBYTE), ("/items", FORM, 18 * MEBIBYTE), ("/recommend", JSON, 3 * MEBIBYTE)],
)
async def test_50_mebibytes_without_content_length_are_cut_off(
    client: httpx.AsyncClient, path: str, content_type: str, most_read: int
) -> None:
    read = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        start = b'--cut\r\nContent-Disposition: form-data; name="picture"; filename="x.png"\r\n\r\n'
        yield start if content_type == FORM else b'{"item_id": "'
        for _ in range(50):
            read += MEBIBYTE
            yield b"x" * MEBIBYTE

    problem_of(await client.post(path, content=body(), headers={"content-type": content_type}), 413)
    assert read <= most_read


FORMS = {
    "no boundary": ("multipart/form-data", b"x", 400),
    "no end": (FORM, b'--cut\r\nContent-Disposition: form-data; name="item_id"\r\n\r\nx', 400),
    "no parts at all": (FORM, b"--cut--\r\n", 422),
    "not a form": (FORM, b"hello", 400),
    "a field twice": (
        FORM,
        b'--cut\r\nContent-Disposition: form-data; name="item_id"\r\n\r\nx\r\n' * 2 + b"--cut--\r\n",
        422,
    ),
    "a picture that is a field": (
        FORM,
        b'--cut\r\nContent-Disposition: form-data; name="picture"\r\n\r\nx\r\n--cut--\r\n',
        422,
    ),
    "a file of another name": (
        FORM,
        b'--cut\r\nContent-Disposition: form-data; name="virus"; filename="v"\r\n\r\nx\r\n--cut--\r\n',
        422,
    ),
    "attributes that are not JSON": (
        FORM,
        b'--cut\r\nContent-Disposition: form-data; name="attributes"\r\n\r\n{x\r\n--cut--\r\n',
        422,
    ),
    "too many fields": (
        FORM,
        b"".join(b'--cut\r\nContent-Disposition: form-data; name="f%d"\r\n\r\nx\r\n' % number for number in range(200))
        + b"--cut--\r\n",
        400,
    ),
    "no UTF-8": (
        FORM,
        b'--cut\r\nContent-Disposition: form-data; name="title"\r\n\r\n\xff\xfe\r\n--cut--\r\n',
        422,
    ),
    "an ordinary form": ("application/x-www-form-urlencoded", b"item_id=x&title=X", 415),
    "no content type": ("", b'{"item_id": "x", "title": "X"}', 415),
}


@pytest.mark.parametrize(("content_type", "body", "status"), FORMS.values(), ids=FORMS.keys())
async def test_a_wrong_form_is_refused(client: httpx.AsyncClient, content_type: str, body: bytes, status: int) -> None:
    headers = {"content-type": content_type} if content_type else {}
    problem_of(await client.post("/items", content=body, headers=headers), status)


async def test_a_form_without_a_chosen_file_is_an_item_without_a_picture(client: httpx.AsyncClient) -> None:
    body = (
        b'--cut\r\nContent-Disposition: form-data; name="item_id"\r\n\r\nx\r\n'
        b'--cut\r\nContent-Disposition: form-data; name="title"\r\n\r\nX\r\n'
        b'--cut\r\nContent-Disposition: form-data; name="picture"; filename=""\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n\r\n--cut--\r\n"
    )
    answer = await client.post("/items", content=body, headers={"content-type": FORM})
    assert answer.status_code == 201, answer.text
    assert "image" in answer.json()["missing_modalities"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/playground/nowhere.js", 404),
        ("GET", "/playground/../settings.py", 404),
        ("GET", "/playground/%2e%2e/settings.py", 404),
        ("GET", "/docs/nowhere.js", 404),
        ("GET", "/docs/%2e%2e/settings.py", 404),
        ("GET", "/redoc", 404),
        ("DELETE", "/recommend", 405),
        ("PUT", "/items", 405),
        ("GET", "/items/unheard%20of", 404),
        ("GET", "/items/%00", 404),
        ("GET", "/items/%ff", 400),
        ("GET", "/items/", 404),
        ("GET", "/items/" + "x" * 5000, 404),
        ("GET", "/items/unheard/picture", 404),
        ("GET", "/items?limit=0", 422),
        ("GET", "/items?limit=many", 422),
        ("GET", "/items?cursor=made-up", 422),
        ("GET", "/items?cursor=%C3%A4%00", 422),
        ("GET", "/items?q=" + "x" * 201, 422),
    ],
)
async def test_errors_of_the_framework_are_problems_too(
    client: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    problem = problem_of(await client.request(method, path), status)
    assert problem["detail"]


async def test_a_405_lists_the_allowed_methods(client: httpx.AsyncClient) -> None:
    assert "POST" in (await client.delete("/recommend")).headers["allow"]
    assert (await client.post("/items/mug")).headers["allow"] == "DELETE, GET, HEAD, PATCH, PUT"
    assert (await client.delete("/playground/playground.js")).headers["allow"] == "GET, HEAD"


async def test_a_request_id_is_echoed_and_a_strange_one_replaced(client: httpx.AsyncClient) -> None:
    answer = await client.get("/health/live", headers={"X-Request-ID": "shop-42.a:b"})
    assert answer.headers["x-request-id"] == "shop-42.a:b"
    for strange in ("a b", "x" * 129, "a\tb", "é"):
        answer = await client.get("/health/live", headers={"X-Request-ID": strange.encode()})
        assert answer.headers["x-request-id"] != strange
        assert len(answer.headers["x-request-id"]) == 32


async def test_every_answer_carries_the_security_headers(client: httpx.AsyncClient) -> None:
    for path in ("/", "/health/live", "/nowhere", "/openapi.json"):
        headers = (await client.get(path)).headers
        assert "default-src 'self'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


async def test_an_internal_error_is_a_500_without_a_traceback(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("a secret detail")

    monkeypatch.setattr("service.live_catalogue.LiveCatalogue.page", fail)
    answer = await client.get("/items")
    problem = problem_of(answer, 500)
    assert "secret" not in answer.text
    assert problem["title"] == "Internal error"


async def test_a_client_that_leaves_amid_its_body_is_not_logged_as_an_error(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    app = client._transport.app  # type: ignore[attr-defined]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/items",
        "raw_path": b"/items",
        "root_path": "",
        "scheme": "http",
        "http_version": "1.1",
        "query_string": b"",
        "headers": [(b"host", b"service"), (b"content-type", b"application/json")],
    }
    messages = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    sent: list[object] = []

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send(message: object) -> None:
        sent.append(message)

    await app(scope, receive, send)
    assert sent == []
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
