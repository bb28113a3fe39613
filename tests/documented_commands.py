"""Turn shell text of the documentation into commands, and check each against what it calls, without running it.

Start at `shell_commands` and `fault_of`.
"""

import contextlib
import io
import re
import shlex
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise

import typer
import yaml

from service.cli.commands import app as serve_app
from tests.repository import REPOSITORY
from training.cli import app as train_app

EXTRAS = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
TARGETS = re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
COMPOSE = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
IMAGES = re.findall(r" AS (\S+)$", (REPOSITORY / "docker" / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
INSIDE = re.compile(r"`((?:clairo-train|clairo-serve|make|pip|uv|docker|helm|kubectl|\S*python3? -m) [^`]+)`")
COMMENT = re.compile(r"(?:^|\s)# ?[^'\"\n]*$", re.MULTILINE)


@dataclass(frozen=True)
class ShellCommand:
    """A command's words, and the variables set before it as `NAME=VALUE`."""

    words: tuple[str, ...]
    variables: tuple[str, ...] = ()


def shell_commands(text: str) -> list[ShellCommand]:
    """The commands of shell text, without comments and redirections."""
    plain = re.sub(r"\$\([^)]*\)", "SUBSTITUTED", COMMENT.sub("", text).replace("\\\n", " "))
    lexer = shlex.shlex(plain, posix=True, punctuation_chars=";&|>\n")
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t", True, ""
    commands: list[tuple[list[str], list[str]]] = [([], [])]
    is_file = False
    for word in lexer:
        words, variables = commands[-1]
        if set(word) <= set(";&|\n"):
            commands.append(([], []))
        elif word.startswith(">"):
            is_file = True
        elif is_file:
            is_file = False
        elif words or not re.match(r"[A-Z_]+=", word):
            words.append(word)
        else:
            variables.append(word)
    return [ShellCommand(tuple(words), tuple(variables)) for words, variables in commands if words]


def commands_in(text: str) -> list[list[str]]:
    """The words of each command."""
    return [list(command.words) for command in shell_commands(text)]


def commands_inside_lines(text: str) -> list[ShellCommand]:
    """The commands between backticks in the lines of a page, outside of its blocks."""
    lines = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return [command for found in INSIDE.findall(lines) for command in shell_commands(found.replace("\\|", "|"))]


def scheduled_command(text: str) -> ShellCommand:
    """The training in a crontab or in a manifest of Kubernetes."""
    (found,) = re.findall(r"clairo-train [^>]+?(?=>>|\n\s+\w+:|$)", text)
    return shell_commands(" ".join(found.split()))[0]


def fault_of(command: Sequence[str], *, is_complete: bool = True) -> str | None:
    """What is wrong with a command; None if nothing is. Without `is_complete`, arguments may be missing."""
    program = re.sub(r"^\S+/bin/", "", command[0])
    if program not in PROGRAMS:
        return f"{program!r} has no check in tests/documented_commands.py; add one"
    fault = PROGRAMS[program]([program, *command[1:]])
    is_allowed = fault is None or (not is_complete and re.search("Missing|requires an argument", fault))
    return None if is_allowed else f"{shlex.join(command)}: {fault}"


def _clairo(command: Sequence[str]) -> str | None:
    """Parse every flag and argument with the real application, whose commands do nothing here."""
    application = typer.main.get_command(APPS[command[0]])
    unnamed = [application]
    while unnamed:
        at = unnamed.pop()
        at.callback = None
        unnamed.extend(getattr(at, "commands", {}).values())
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        try:
            application.main(list(command[1:]), prog_name=command[0])
        except SystemExit as end:
            # A group without a command prints its help.
            return said.getvalue() if end.code and "Error" in said.getvalue() else None
    return None


def _make(command: Sequence[str]) -> str | None:
    wrong = [word for word in command[1:] if "=" not in word and word not in TARGETS]
    return f"make {wrong[0]}: no such target" if wrong else None


def _installer(command: Sequence[str]) -> str | None:
    wrong = [
        extra
        for word in command
        if (found := re.search(r"clairo\[([\w,-]+)\]|^\.\[([\w,-]+)\]", word))
        for extra in (found[1] or found[2]).split(",")
        if extra not in EXTRAS
    ]
    return f"{' '.join(command)}: no extra {wrong[0]!r}" if wrong else None


def _docker(command: Sequence[str]) -> str | None:
    if command[1] == "compose":
        profiles = {name for service in COMPOSE.values() for name in service.get("profiles", [])}
        if "--profile" in command and (profile := command[command.index("--profile") + 1]) not in profiles:
            return f"docker compose has no profile {profile!r}"
        if "run" in command and command[-1] not in COMPOSE:
            return f"docker compose has no service {command[-1]!r}"
    if "--target" in command and (target := command[command.index("--target") + 1]) not in IMAGES:
        return f"docker/Dockerfile has no target {target!r}"
    return _missing_file(command, "--file")


def _helm(command: Sequence[str]) -> str | None:
    chart = command[command.index("--install") + 2]
    return _missing_file([*command, "--chart", f"{chart}/Chart.yaml"], "--values", "--chart")


def _kubectl(command: Sequence[str]) -> str | None:
    """Check what runs in a pod; kubectl's own flags are its."""
    return fault_of(command[command.index("--") + 1 :]) if "--" in command else None


def _missing_file(command: Sequence[str], *flags: str) -> str | None:
    named = [value for flag, value in pairwise(command) if flag in flags]
    missing = [name for name in named if not (REPOSITORY / name).is_file()]
    return f"{command[0]}: no file {missing[0]}" if missing else None


def _python(command: Sequence[str]) -> str | None:
    if "-m" not in command:
        return None
    module = command[command.index("-m") + 1]
    # benchmarks.ROOM.NAME stands for any.
    return None if re.search("[A-Z]", module) or find_spec(module) else f"python -m {module}: no such module"


def _torchrun(command: Sequence[str]) -> str | None:
    """What follows `-m training.cli` are flags of `clairo-train`."""
    at = command.index("-m")
    return None if command[at + 1] != "training.cli" else _clairo(["clairo-train", *command[at + 2 :]])


def _known(_: Sequence[str]) -> None:
    """The shell's own, or other people's programs, whose flags are theirs. `curl` is run where its address is ours."""


APPS = {"clairo-train": train_app, "clairo-serve": serve_app}
PROGRAMS: dict[str, Callable[[Sequence[str]], str | None]] = {
    "clairo-train": _clairo,
    "clairo-serve": _clairo,
    "make": _make,
    "pip": _installer,
    "uv": _installer,
    "docker": _docker,
    "helm": _helm,
    "kubectl": _kubectl,
    "python": _python,
    "python3": _python,
    "torchrun": _torchrun,
    **dict.fromkeys(("cd", "curl", "export", "git", "npx", "openapi-python-client", "ray", "source", "."), _known),
}
