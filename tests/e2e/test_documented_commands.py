"""Commands of README.md and docs/ run as written, page by page: on small data, with addresses and keys of the test."""

import re
import shlex
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from tests.documentation_reader import ADDRESS, Reader
from tests.documented_blocks import blocks_of, pages
from tests.documented_commands import ShellCommand, commands_inside_lines, fault_of, scheduled_command, shell_commands
from tests.fresh_processes import fresh_process
from tests.readers_shop import write_readers_shop

OURS = ("clairo-train", "clairo-serve")
NOT_RUN = {
    "clairo-train export-encoders bundles/pretrained": "test_encoder_bundles.py exports encoders of these libraries",
    "clairo-train ids": "test_ids.py runs the page's commands",
    "clairo-train recommend bundles/shop --users shop/dataset.toml --engine ray": "test_ray.py recommends on a cluster",
    "clairo-train report bundles/shop": "test_report.py writes a report; UMAP takes eight seconds to compile",
    "clairo-train run --data demo/shop --set encode.": "loads models; test_encoder_bundles.py has small ones",
    "clairo-train run --data service --push": "test_push.py retrains into object storage",
    "clairo-train run --engine ray": "test_ray.py trains on a cluster",
    "curl": "test_documented_blocks.py sends the calls",
    "docker": "there is no Docker here; tests/unit/deployment reads its files",
    "helm": "there is no cluster here; test_chart.py renders the chart",
    "kubectl create": "there is no cluster here",
    "kubectl patch": "there is no cluster here",
    "make demo": ".ci/run runs it in a clean clone",
    "npx": "test_generated_clients.py generates the same client",
    "openapi-python-client": "test_generated_clients.py generates the same client",
    "pip install": ".ci/supply.py installs each extra of the wheel",
    "python -m training.vocabulary.compile_kernels": "make install runs it",
    "python3 -m http.server": "Python's own",
    "python3 -m venv": "make install runs it",
    "ray start": "test_ray.py starts a cluster",
    "torchrun": "test_torchrun.py starts two processes",
    "uv tool install": "installs for the user; make install installs the same",
}
"""Beginnings of commands that are checked without being run, and why."""
STANDS_FOR = {
    "/bundles/shop-SUBSTITUTED": "bundles/shop-SUBSTITUTED",
    "/etc/clairo/admin.key": "admin.key",
    "/run/secrets/clairo/admin.key": "admin.key",
    "/srv/clairo": "served",
    "DATA": "demo/shop",
    "DIR": "table",
    "PRESET": "clairo",
    "http://clairo:8000": ADDRESS,
}
"""Words of the documentation, and those of the test."""


def commands_of(page: Path) -> Iterator[ShellCommand]:
    """The commands of a page's blocks in order, schedules included, and what runs in a pod."""
    for block in blocks_of(page, "sh", "cron", "yaml"):
        for command in shell_commands(block.text) if block.language == "sh" else [scheduled_command(block.text)]:
            yield as_run(command)


def inside_lines(page: Path) -> list[ShellCommand]:
    """The commands between backticks in a page's lines."""
    return [as_run(command) for command in commands_inside_lines(page.read_text(encoding="utf-8"))]


def as_run(command: ShellCommand) -> ShellCommand:
    """The command in the test's words, or what it runs in a pod."""
    words = tuple(STANDS_FOR.get(word, word) for word in command.words)
    in_pod = words[words.index("--") + 1 :] if words[:2] == ("kubectl", "exec") else words
    program = re.sub(r"^\S+/bin/", "", in_pod[0])
    return ShellCommand((program, *in_pod[1:]), command.variables)


def is_run(command: ShellCommand) -> bool:
    return not shlex.join(command.words).startswith(tuple(NOT_RUN))


def subcommand(command: ShellCommand) -> tuple[str, ...]:
    return command.words[: 3 if command.words[1:2] in (("ids",), ("keys",)) else 2]


def shows_another(command: ShellCommand, shown: Collection[tuple[str, ...]]) -> bool:
    """Whether it is a command of ours with a subcommand that is not in `shown`."""
    return command.words[0] in OURS and is_run(command) and subcommand(command) not in shown


def commands_to_run() -> dict[Path, list[ShellCommand]]:
    """By page. A command that an earlier page has is left out, unless it starts the service for those after it."""
    found: dict[Path, list[ShellCommand]] = {}
    known: set[ShellCommand] = set()
    for page in pages():
        commands = [command for command in dict.fromkeys(commands_of(page)) if is_run(command)]
        new = [command for command in commands if command not in known or command.words[:2] == ("clairo-serve", "run")]
        if any(command.words[0] in OURS and command not in known for command in new):
            found[page] = new
        known.update(commands)
    shown = {subcommand(command) for page in pages() for command in commands_of(page)}
    for page in pages():
        for command in inside_lines(page):
            if shows_another(command, shown) and fault_of(command.words) is None:
                found.setdefault(page, []).append(command)
                shown.add(subcommand(command))
    return found


TO_RUN = commands_to_run()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A folder with all files, and the bundle of the quick start."""
    folder = tmp_path_factory.mktemp("documented") / "reader"
    write_readers_shop(folder)
    train = "clairo-train run --data demo/shop --out bundles/shop"
    Reader(folder, request.getfixturevalue).run(train.split(), {})
    return folder


@pytest.fixture
def reader(shop: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Reader]:
    shutil.copytree(shop.parent, tmp_path / "documented")
    reader = Reader(tmp_path / "documented" / shop.name, request.getfixturevalue)
    with reader.leaving:
        yield reader


@pytest.mark.parametrize("page", TO_RUN, ids=lambda page: page.name)
def test_every_command_of_a_page_runs(page: Path, reader: Reader) -> None:
    for command in TO_RUN[page]:
        reader.follow(command)


def test_a_command_that_fails_fails_the_test_with_what_it_printed(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    reader = Reader(tmp_path, request.getfixturevalue)
    with reader.leaving, pytest.raises(AssertionError, match=r"(?s)check nowhere.*nowhere does not exist"):
        reader.follow(ShellCommand(("clairo-train", "check", "nowhere")))


def test_every_command_of_a_page_is_run_or_has_a_reason_why_not() -> None:
    commands = [command for page in pages() for command in commands_of(page)]
    others = [shlex.join(command.words) for command in commands if not is_run(command)]
    assert {command.words[0] for command in commands if is_run(command)} <= {*OURS, "export"}
    unused = [beginning for beginning in NOT_RUN if not any(text.startswith(beginning) for text in others)]
    assert not unused, f"no page has these any more: {unused}"


def test_every_shown_subcommand_is_run() -> None:
    run = {subcommand(command) for commands in TO_RUN.values() for command in commands}
    assert [command for page in pages() for command in inside_lines(page) if shows_another(command, run)] == []


@pytest.mark.parametrize(
    "text",
    sorted(
        {
            found
            for page in pages()
            for found in re.findall(r"python -m benchmarks\.[a-z_.]+(?= |`)", page.read_text(encoding="utf-8"))
        }
    ),
)
def test_every_benchmark_names_its_flags(text: str, tmp_path: Path) -> None:
    with fresh_process([*text.split(), "--help"], tmp_path, {}) as process:
        assert process.wait() == 0, process.output
    assert "--json" in process.output
