#!/bin/sh
# install_libraries.sh cpu|gpu: every library of the image into /opt/clairo, in the lock's versions.
# Run by docker/Dockerfile, beside requirements.lock and pyproject.toml; it reads TORCH and TORCH_INDEX.
set -eu
processor=$1
pip=/opt/clairo/bin/pip
export PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

locked() { sed -n "s/^$1==\([^ ]*\).*/\1/p" requirements.lock; }

python -m venv /opt/clairo

# First and without what it needs: the rest then finds torch installed, and brings CUDA only if this torch asks for it.
if [ "$processor" = cpu ] && [ -z "${TORCH:-}" ] && [ -n "${TORCH_INDEX:-}" ]; then
  $pip install --no-deps --index-url "$TORCH_INDEX" "torch==$(locked torch)"
else
  $pip install --no-deps "${TORCH:-torch==$(locked torch)}"
fi

grep -E '^[a-z0-9]' requirements.lock | grep -v '^torch==' | sed 's/ *\\$//' > /tmp/constraints.txt
export PIP_CONSTRAINT=/tmp/constraints.txt
# ONNX Runtime alone of the extra `encoders`: the others train or export encoders.
case $processor in
  cpu) runtime="onnxruntime==$(locked onnxruntime)" ;;
  gpu) runtime=onnxruntime-gpu ;;
esac
mkdir clairo_client clairo_core training service
$pip install ".[train,serve]" "$runtime"
rm -rf clairo_client clairo_core training service
