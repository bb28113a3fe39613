"""Check what a user installs: the wheel in empty environments, licences and known faults of all dependencies, an SBOM.

    .venv/bin/python .ci/supply.py

Writes the wheel, sbom.json (CycloneDX, from requirements.lock) and licences.txt into build/supply. Each extra gets
an environment of its own, with files that uv links from its cache; `dev` is what CI itself installs. uv runs
cyclonedx-py and pip-audit, each in an environment of its own, too. Without the vulnerability database, the audit prints
so and passes.
"""

import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import Distribution, distributions
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
OUT = REPOSITORY / "build" / "supply"
UV = str(Path(sys.executable).with_name("uv"))
LOCK = str(REPOSITORY / "requirements.lock")
IMPORTED = {
    "client": "clairo_client",
    "core": "clairo_core.recommender",
    "docs": "zensical",
    "encoders": "clairo_core.encoders.onnx_encoder, open_clip, sentence_transformers",
    "mcp": "clairo_client, mcp, typer",
    "ray": "training.engines.ray_cluster",
    "report": "umap, matplotlib, training.cli.commands",
    "serve": "service.app, service.cli.commands",
    "storage": "clairo_core.bundle.remote_bundles, pyarrow.fs",
    "train": "training.cli.commands, training.pipeline.run",
}
"""What each extra must be able to import."""
LIGHT = ("client", "docs", "mcp")
HEAVY = {"torch", "transformers", "numpy", "numba", "faiss-cpu"}
ALLOWED = re.compile(
    r"apache|\b(mit|mit-0|mit-cmu|bsd|0bsd|isc|psf|python software foundation|zlib|bsl-1\.0|cc0|cnri-python)\b"
    r"|\b(mpl|mozilla public license)|nvidia|lgpl"
)
"""Of a licence's text. MPL and LGPL packages are used unchanged; NVIDIA's come with torch."""
FORBIDDEN = re.compile(r"\b(agpl|affero|sspl|busl|noncommercial)\b|(?<!l)gpl|(?<!lesser )general public license")
READ_BY_HAND = {
    "axe-playwright-python": "MIT",
    "cuda-toolkit": "NVIDIA",
    "umap-learn": "BSD-3-Clause",
}
"""Licences of packages whose metadata gives none."""


def licence_of(distribution: Distribution) -> str:
    """The licence as the package's metadata gives it: the expression, classifiers, or the first line of its text."""
    metadata = distribution.metadata
    classifiers = [line.split(" :: ")[-1] for line in metadata.get_all("Classifier") or [] if "License ::" in line]
    classifiers = [name for name in classifiers if name not in {"OSI Approved", "DFSG approved"}]
    text = (metadata.get("License") or "").strip().split("\n")[0]
    given = metadata.get("License-Expression") or "; ".join(classifiers) or text
    return given or READ_BY_HAND.get(metadata["Name"], "")


def is_allowed(licence: str) -> bool:
    """Whether a dependency may have this licence."""
    return bool(ALLOWED.search(licence.lower())) and not FORBIDDEN.search(licence.lower())


def names_in_lock() -> set[str]:
    """Normalized names of all packages in requirements.lock."""
    return set(re.findall(r"^([a-z0-9.-]+)==", Path(LOCK).read_text(encoding="utf-8"), re.MULTILINE))


def check_licences() -> None:
    """List licences of the installed packages of the lock. Exits if one is not allowed."""
    locked = names_in_lock()
    found = {
        re.sub(r"[-_.]+", "-", distribution.metadata["Name"]).lower(): licence_of(distribution)
        for distribution in distributions()
    }
    rows = {name: licence for name, licence in sorted(found.items()) if name in locked}
    (OUT / "licences.txt").write_text("".join(f"{name}: {licence}\n" for name, licence in rows.items()))
    faults = [f"{name}: {licence or 'no licence given'}" for name, licence in rows.items() if not is_allowed(licence)]
    if faults:
        sys.exit(
            "Licences that are not allowed; replace the package, or add it to .ci/supply.py:\n" + "\n".join(faults)
        )
    print(f"licences of {len(rows)} installed packages allowed; {len(locked - set(rows))} are for other machines")


def check_extras(wheel: Path) -> None:
    """Install each extra into an empty environment, and import what it is for. Exits if one fails."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for extra in sorted(set(project["optional-dependencies"]) - {"dev"}):
        environment = OUT / extra
        run([UV, "venv", "--quiet", "--clear", str(environment)])
        python = str(environment / "bin" / "python")
        run([UV, "pip", "install", "--quiet", "--python", python, f"clairo[{extra}] @ {wheel.as_uri()}"])
        run([python, "-c", f"import {IMPORTED[extra]}"], folder=OUT)
        listed = run([UV, "pip", "freeze", "--python", python])
        heavy = HEAVY & set(re.findall(r"^([\w.-]+)", listed, re.MULTILINE))
        if extra in LIGHT and heavy:
            sys.exit(f"clairo[{extra}] installs {', '.join(sorted(heavy))}; expected none of them")
        print(f"{extra}: installed, {len(listed.splitlines())} packages", flush=True)
        shutil.rmtree(environment)


def audit() -> None:
    """Look the lock's versions up in the vulnerability database. Exits if one has a known fault."""
    command = [UV, "tool", "run", "pip-audit", "--require-hashes", "--disable-pip", "--progress-spinner", "off"]
    ended = subprocess.run([*command, "-r", LOCK], capture_output=True, text=True, check=False, timeout=300)
    # Packages that the database does not answer for are skipped with exit code 0.
    if ended.returncode == 0:
        skipped = ended.stdout.count("could not be audited")
        print(f"pip-audit: no known vulnerability; not checked, no data to be had here: {skipped} packages")
    elif re.search(r"^Found \d+ known vulnerabilit", ended.stderr, re.MULTILINE):
        sys.exit(f"{ended.stderr}{ended.stdout}Raise these versions: make lock")
    else:
        reason = (ended.stderr.strip().splitlines() or ["no reason given"])[-1]
        print(f"pip-audit: not checked, its data cannot be had here: {reason[:300]}")


def run(command: list[str], text: str | None = None, folder: Path = REPOSITORY) -> str:
    """Standard output of a command. Exits with its error output if it fails."""
    ended = subprocess.run(command, input=text, capture_output=True, text=True, check=False, cwd=folder)
    if ended.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{ended.stderr}")
    return ended.stdout


def main() -> None:
    """Build the wheel and check all."""
    OUT.mkdir(parents=True, exist_ok=True)
    for old in OUT.glob("*.whl"):
        old.unlink()
    run([UV, "build", "--quiet", "--wheel", "--out-dir", str(OUT), "."])
    check_extras(next(OUT.glob("*.whl")))
    tool = [UV, "tool", "run", "--from", "cyclonedx-bom", "cyclonedx-py", "requirements", LOCK]
    run([*tool, "--output-reproducible", "--output-file", str(OUT / "sbom.json")])
    print(f"SBOM of {len(names_in_lock())} packages: build/supply/sbom.json")
    check_licences()
    audit()


if __name__ == "__main__":
    main()
