"""Compile every kernel into the cache on disk, once per install or image build.

    python -m training.vocabulary.compile_kernels

Compilation takes about a minute, reading the cache a fifth of a second.
"""

import clairo_core.generation.parallel.code_kernels
import clairo_core.generation.parallel.graph_kernels
import clairo_core.ranking.score_kernels
import clairo_core.tokens.tokenizer  # noqa: F401 - importing a module registers its kernels
import training.counts.fit_item_weights
import training.vocabulary.learn_vocabulary  # noqa: F401
from clairo_core.tokens.kernels.compilation import compile_kernels

if __name__ == "__main__":
    print(f"{compile_kernels()} kernels compiled")
