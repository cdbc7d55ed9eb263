#!/usr/bin/env bash
# Each package uses only those to its left, and content knows neither the runtime nor the network.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# refuse PACKAGE PATTERN: PACKAGE must have no dependency whose name matches.
refuse() {
    local found
    found=$(cargo tree --package "$1" --edges normal --prefix none --all-features | grep -E "^($2) " || true)
    if [[ -n $found ]]; then
        echo "error: $1 must not depend on:"
        sort -u <<<"$found"
        exit 1
    fi
}

refuse store 'tokio|tokio-.*|libp2p|libp2p-.*|store-.*'
# An address (`multiaddr`) knows what a peer id looks like, by libp2p-identity: types, no network.
refuse store-config 'tokio|tokio-.*|libp2p|libp2p-[^i].*|store-node|store-cli'
refuse store-node 'clap|indicatif|store-cli'
# Fuzzers build the first without its database.
cargo check --quiet --package store --no-default-features
echo "holds"
