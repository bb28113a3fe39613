"""Every block and command of README.md and docs/ fits the code: what is not run elsewhere is parsed here."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.documented_blocks import Block, all_blocks, pages
from tests.documented_commands import commands_in, commands_inside_lines, fault_of, scheduled_command
from training.config.load_preset import load_preset
from training.datasets.dataset_toml import read_description

LANGUAGES = {"sh", "python", "json", "jsonl", "toml", "yaml", "html", "csv", "cron", "text"}
SHELL = all_blocks("sh")
TABLES = '[items]\nfile = "items.csv"\ntexts = ["title"]\n', '[interactions]\nfile = "events.csv"\ntimestamp = "at"\n'


def named(blocks: list[Block]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("block", blocks, ids=[block.name for block in blocks])


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_every_block_is_fenced_and_names_its_language(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    # Markdown takes indented lines after a blank one for a block, too: tests would miss it.
    assert not re.search(r"\n\n    \S", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))
    assert {found[1] for found in re.finditer(r"^```(\w*).*?^```$", text, re.MULTILINE | re.DOTALL)} <= LANGUAGES


@named(SHELL)
def test_every_command_of_a_block_exists_with_its_flags(block: Block) -> None:
    faults = [fault for command in commands_in(block.text) if (fault := fault_of(command))]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_every_command_inside_a_line_exists_with_its_flags(page: Path) -> None:
    commands = commands_inside_lines(page.read_text(encoding="utf-8"))
    faults = [fault for command in commands if (fault := fault_of(command.words, is_complete=False))]
    assert not faults, "\n".join(faults)


@named(all_blocks("cron", "yaml"))
def test_every_command_of_a_schedule_exists_with_its_flags(block: Block) -> None:
    if block.language == "yaml":
        list(yaml.safe_load_all(block.text))
    assert not fault_of(scheduled_command(block.text).words)


@named([block for block in all_blocks("toml") if not re.search(r"^(\[split\]|published)", block.text)])
def test_every_description_of_data_is_read(block: Block, tmp_path: Path) -> None:
    sections = set(tomllib.loads(block.text))
    items, interactions = TABLES
    if {"items", "interactions"} <= sections:
        text = block.text
    elif "[items.attribute_types]" in block.text:
        attributes = list(tomllib.loads(block.text)["items"]["attribute_types"])
        text = f"{items}attributes = {attributes}\n{block.text}{interactions}"
    else:
        missing = [table for name, table in (("items", items), ("interactions", interactions)) if name not in sections]
        text = "".join([*missing, block.text])
    path = tmp_path / "dataset.toml"
    path.write_text(text, encoding="utf-8")
    assert read_description(path)


@named([block for block in all_blocks("toml") if block.text.startswith("[split]")])
def test_every_setting_of_a_preset_is_read(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "preset.toml"
    path.write_text(block.text, encoding="utf-8")
    assert load_preset(str(path))


def test_a_wrong_flag_a_missing_argument_and_an_unknown_command_are_found() -> None:
    text = "clairo-train run --data x --out y\nclairo-train run --daat x  # a comment\nclairo-train check"
    right, wrong, missing = commands_in(text)
    assert fault_of(right) is None
    assert "--daat" in (fault_of(wrong) or "")
    assert fault_of(missing) is not None
    assert fault_of(missing, is_complete=False) is None
    assert fault_of(["clairo-serve", "rum"]) is not None
    assert fault_of(["make", "presets"]) is not None
    assert fault_of(["pip", "install", "clairo[serv]"]) is not None
    assert fault_of(["unheard-of"]) is not None
    assert fault_of(["docker", "compose", "--profile", "observ", "up"]) is not None
    assert fault_of(["docker", "build", "--target", "tpu", "."]) is not None
    assert fault_of(["helm", "upgrade", "--install", "clairo", "docker/charts"]) is not None
    assert fault_of(["kubectl", "exec", "deploy/clairo", "--", "clairo-serve", "key", "list"]) is not None


def test_commands_are_taken_apart_at_lines_and_connectors() -> None:
    text = "A=1 one 'a b\n c' \\\n  --two && three | four > file\n# none\nfive  # six"
    assert commands_in(text) == [["one", "a b\n c", "--two"], ["three"], ["four"], ["five"]]
