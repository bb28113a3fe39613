"""Run the README's `sh` blocks in order, in a clean clone of this commit.

A block that serves (`make demo`, `clairo-serve run`) keeps running until all blocks are done. Every other block must
exit with code 0. Standard library only: this runs before anything is installed.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

READY_WITHIN_SECONDS = 1500
ADDRESS = re.compile(r"https?://(?:127\.0\.0\.1|localhost):\d+")


def main() -> int:
    """Clone, run the blocks, and name the block that fails."""
    repository = Path(__file__).resolve().parents[1]
    blocks = re.findall(r"^```sh\n(.*?)^```", (repository / "README.md").read_text(encoding="utf-8"), re.M | re.S)
    servers: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clairo"
        subprocess.run(["git", "clone", "--quiet", str(repository), str(clone)], check=True)
        shared = repository.parent / "shared"
        if shared.is_dir():
            (Path(folder) / "shared").symlink_to(shared)
        try:
            for number, block in enumerate(blocks, start=1):
                print(f"== README block {number} of {len(blocks)}\n{block}", flush=True)
                if "make demo" in block or "clairo-serve run" in block:
                    servers.append(start_server(block, clone))
                else:
                    subprocess.run(["bash", "-euo", "pipefail", "-c", block], cwd=clone, check=True)
        except (subprocess.CalledProcessError, RuntimeError) as error:
            print(f"README block {number} failed: {error}", file=sys.stderr)
            return 1
        finally:
            for server in servers:
                if server.poll() is None:
                    os.killpg(server.pid, signal.SIGTERM)
                    server.wait(timeout=60)
    print(f"{len(blocks)} README blocks ran")
    return 0


def start_server(block: str, clone: Path) -> "subprocess.Popen[bytes]":
    """Start a block in the background; return once the address in it (default: port 8000) is ready."""
    server = subprocess.Popen(["bash", "-euo", "pipefail", "-c", block], cwd=clone, start_new_session=True)
    address = (ADDRESS.search(block) or ADDRESS.search("http://127.0.0.1:8000")).group(0)
    deadline = time.monotonic() + READY_WITHIN_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise RuntimeError(f"the server ended with exit code {server.returncode} before it was ready")
        try:
            with urllib.request.urlopen(f"{address}/health/ready", timeout=5) as answer:
                if answer.status == 200:
                    return server
        except (urllib.error.URLError, OSError):
            time.sleep(1)
    raise RuntimeError(f"{address}/health/ready did not answer within {READY_WITHIN_SECONDS} s")


if __name__ == "__main__":
    sys.exit(main())
