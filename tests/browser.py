"""A real browser on our pages that fails on script errors, requests to other hosts, and secrets in urls."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import ConsoleMessage, Page, Request, expect, sync_playwright

SYSTEM_CHROMIUM = Path("/usr/bin/chromium")
BROWSER_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

NAMELESS = """() => [...document.querySelectorAll('button, input, select, textarea')]
  .filter((control) => !(control.getAttribute('aria-label') || control.labels?.length || control.textContent.trim()))
  .map((control) => control.outerHTML)"""
"""Script: controls without a name."""

# WCAG 2.2, contrast (minimum): 4.5 to 1 for words of this size.
TOO_FAINT = """() => {
  const linear = (part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
  const colour = (text) => text.match(/[\\d.]+/g).map(Number);
  const luminance = ([red, green, blue]) =>
    0.2126 * linear(red / 255) + 0.7152 * linear(green / 255) + 0.0722 * linear(blue / 255);
  const ground = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const parts = colour(getComputedStyle(at).backgroundColor);
      if (parts.length < 4 || parts[3] === 1) return parts;
    }
    return [255, 255, 255];
  };
  const faint = new Set();
  for (const node of document.querySelectorAll('body *')) {
    const hasText = [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim());
    if (!hasText || !node.checkVisibility() || node.closest('noscript, .is-waiting, :disabled')) continue;
    const [one, other] = [colour(getComputedStyle(node).color), ground(node)].map(luminance);
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (ratio < 4.5) faint.add(`${node.tagName}.${node.className}: ${ratio.toFixed(2)}`);
  }
  return [...faint];
}"""
"""Script: text with too little contrast."""


def serious_faults(page: Page) -> list[str]:
    """What axe-core finds on the page as it stands, if it is serious: rule, what to do, and where."""
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [
        f"{fault['id']}: {fault['help']}: {[node['html'][:200] for node in fault['nodes'][:3]]}"
        for fault in found
        if fault["impact"] in ("serious", "critical")
    ]


# Generous for a busy machine. A passing check returns sooner.
expect.set_options(timeout=30_000)


@contextmanager
def opened_page(
    url: str, secrets: Collection[str] = (), others: Collection[str] = (), *, logs_errors: bool = True
) -> Iterator[Page]:
    """Open the page. At the end, fail on script errors, requests to hosts not in `others`, and `secrets` in urls.

    Browsers log an answer of 400 or more as an error of the console; unless `logs_errors`, any such line fails too.
    """
    faults: list[str] = []

    def check(request: Request) -> None:
        if any(secret in request.url for secret in secrets):
            faults.append(f"a secret in {request.url}")
        if not request.url.startswith((url, "blob:", "data:", *others)):
            faults.append(f"asked {request.url}")

    def is_fault(line: ConsoleMessage) -> bool:
        return "Content Security Policy" in line.text or (line.type == "error" and not logs_errors)

    with sync_playwright() as playwright:
        system = str(SYSTEM_CHROMIUM) if SYSTEM_CHROMIUM.exists() else None
        browser = playwright.chromium.launch(executable_path=system, args=BROWSER_FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.on("request", check)
        page.on("pageerror", lambda error: faults.append(f"script: {error}"))
        page.on("console", lambda line: faults.append(line.text) if is_fault(line) else None)
        page.goto(url)
        yield page
        assert not any(secret in page.url for secret in secrets)
        browser.close()
    assert not faults, faults
