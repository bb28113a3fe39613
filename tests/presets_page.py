"""Write docs/presets.md from the presets' files. Run as `make presets`."""

from tests.repository import REPOSITORY
from training.config.list_presets import known_presets, presets_as_page

PAGE = REPOSITORY / "docs" / "presets.md"

if __name__ == "__main__":
    PAGE.write_text(presets_as_page(known_presets()), encoding="utf-8")
