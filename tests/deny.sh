#!/usr/bin/env bash
# Licences, bans and sources of every dependency by cargo-deny, which is built once a machine.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tools="${XDG_CACHE_HOME:-$HOME/.cache}/store/tools"
deny="$tools/bin/cargo-deny"
version=0.20.2
if ! "$deny" --version 2>/dev/null | grep -qF "$version"; then
    echo "building cargo-deny $version"
    CARGO_TARGET_DIR="$tools/target" cargo install --quiet --locked --root "$tools" "cargo-deny@$version"
    rm -rf "$tools/target"
fi
"$deny" --log-level error --config .deny.toml check bans licenses sources
# The advisories' database is a git repository: checked where it can be reached, said where it cannot.
if ! "$deny" --log-level error --config .deny.toml check advisories 2>"$tools/advisories.log"; then
    if grep -qE 'failed to (fetch|clone|open)|unable to (fetch|clone)' "$tools/advisories.log"; then
        echo "advisories: skipped, their database cannot be reached from here"
    else
        cat "$tools/advisories.log"
        exit 1
    fi
fi
