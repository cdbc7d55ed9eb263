#!/usr/bin/env bash
# Each fuzz target for SECONDS (120), from the committed corpus. Needs a nightly compiler.
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

tools="${XDG_CACHE_HOME:-$HOME/.cache}/store/tools"
fuzz="$tools/bin/cargo-fuzz"
if ! [[ -x $fuzz ]]; then
    CARGO_TARGET_DIR="$tools/target" cargo install --quiet --locked --root "$tools" cargo-fuzz@0.13.2
    rm -rf "$tools/target"
fi
new=$(mktemp -d)
trap 'rm -rf "$new"' EXIT
for target in dag_pb unixfs request response car proof member pin replica; do
    echo "== $target, ${1:-120} s"
    # What is found new goes to a folder of its own: the committed corpus stays small.
    mkdir "$new/$target"
    PATH="$tools/bin:$PATH" cargo +nightly fuzz run --fuzz-dir tests/fuzz "$target" "$new/$target" "tests/fuzz/corpus/$target" \
        -- -max_total_time="${1:-120}" -max_len=4096 -timeout=5 -verbosity=0 -print_final_stats=1
done
