#!/usr/bin/env bash
# Lint everything: bash tools/lint.sh [PYTHON]. The tools come from the dependency group `lint`.
set -euo pipefail
cd "$(dirname "$0")/.."
py=${1:-python3}
bin=$(dirname "$("$py" -c 'import sys; print(sys.executable)')")

"$py" -m ruff check python tests bench tools examples
"$py" -m ruff format --check python tests bench tools examples
"$py" -m mypy
find csrc \( -name '*.h' -o -name '*.cpp' \) -print0 | xargs -0 "$bin/clang-format" --dry-run --Werror

# clang-tidy on everything above the kernels; the kernels are intrinsics all the way down.
includes=$("$py" -m pybind11 --includes 2>/dev/null | sed 's/-I/-isystem /g') || includes=""
if [ -n "$includes" ]; then
  isa_list=$(mktemp -d)
  trap 'rm -rf "$isa_list"' EXIT
  echo 'LSTMFAST_ISA_ROW(sse2, 0)' > "$isa_list/isa_list.inc"
  find csrc -name '*.cpp' ! -path 'csrc/kernels/*' -print0 |
    xargs -0 -P "$(nproc)" -I{} "$bin/clang-tidy" --quiet {} -- -std=c++20 -Icsrc -Ipython/lstmfast/include -I"$isa_list" $includes -DLSTMFAST_VERSION='""' 2>/dev/null
fi
echo "lint: clean"
