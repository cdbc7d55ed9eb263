# Sourced by the scripts beside it: goes to the checkout's top and installs what the build needs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if ! command -v cargo >/dev/null; then
    echo "error: no Rust here: install it from https://rustup.rs (1.89 or newer), then run this again" >&2
    exit 1
fi

# clang compiles RocksDB, libclang reads its header for the bindings; iproute2 and strace are for tests.
missing=()
for package in clang libclang-dev pkg-config iproute2 strace; do
    dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package")
done
if ((${#missing[@]})); then
    as_root=()
    if ((EUID != 0)); then as_root=(sudo); fi
    echo "installing ${missing[*]}"
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >/dev/null
fi
