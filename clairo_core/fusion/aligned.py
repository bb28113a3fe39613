"""Turn modality embeddings into item embeddings in which items that follow one another in histories are close.

Content is fused by any other scheme; a matrix then turns up what of it tells how an item is used, and turns down the
rest. Knows that matrix; how it is fitted to behaviour is training's matter. Start at `AlignedFusion.fuse`.

An item that nobody has touched is placed by its content alone, where items of such content are placed by what people
did with them. Close in spirit to DropoutNet (Volkovs et al. 2017), which learns to do without behaviour by leaving it
out; here it is one linear regression, so that training takes seconds and nothing is drawn by chance.
"""

from dataclasses import dataclass
from typing import ClassVar

from clairo_core.fusion.projected import ProjectedFusion


@dataclass(frozen=True, slots=True, eq=False)
class AlignedFusion(ProjectedFusion):
    """A content fusion, then the matrix that was fitted to behaviour."""

    kind: ClassVar[str] = "aligned"
