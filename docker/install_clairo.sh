#!/bin/sh
# install_clairo.sh: CLAIRO itself into /opt/clairo, its kernels compiled, and a demo bundle in /bundles.
# Run by docker/Dockerfile, after install_libraries.sh, beside the packages.
set -eu
/opt/clairo/bin/pip install --no-cache-dir --no-deps --force-reinstall .
/opt/clairo/bin/python -m training.vocabulary.compile_kernels
/opt/clairo/bin/clairo-train demo-data --out /demo/shop
/opt/clairo/bin/clairo-train run --preset clairo --data /demo/shop --out /bundles/demo --with-users \
  --set dense.encoder=recurrent --set evaluate.max_users=500
