"""Turn modality embeddings into item embeddings in which items that follow each other in histories are close.

Any other scheme fuses the content; a matrix fitted to behaviour then amplifies directions that predict usage, and damps
the rest. Start at `AlignedFusion.fuse`; training fits the matrix.

An item without interactions is placed by its content, near items of similar content and known usage. Similar to
DropoutNet (Volkovs et al. 2017), which learns to cope without behaviour by dropping it; here one linear regression
suffices, which takes seconds and is deterministic.
"""

from dataclasses import dataclass
from typing import ClassVar

from clairo_core.fusion.projected import ProjectedFusion


@dataclass(frozen=True, slots=True, eq=False)
class AlignedFusion(ProjectedFusion):
    """A content fusion, then a matrix fitted to behaviour."""

    kind: ClassVar[str] = "aligned"
