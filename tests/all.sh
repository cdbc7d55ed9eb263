#!/usr/bin/env bash
# Installs what the build needs and runs every test. Options go to cargo test.
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
cargo test --workspace "$@"
