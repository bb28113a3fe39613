"""Compile every kernel into the cache on disk: `python -m training.warm_kernels`, once at install or image build.

Compilation takes about a minute; reading the cache a fifth of a second. No user should wait for it twice.
"""

import clairo_core.tokenizer  # noqa: F401 - importing a module makes its kernels known
import training.vocabulary.learn_vocabulary  # noqa: F401
from clairo_core.kernels.compilation import compile_kernels

if __name__ == "__main__":
    print(f"{compile_kernels()} kernels compiled")
