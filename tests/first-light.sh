#!/usr/bin/env bash
# Installs what the build needs, builds `store`, and shows the main job between two real nodes:
# a file added on one is fetched by the other, which knows only its address.
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

echo "building (the first time RocksDB takes a while: 15 to 20 minutes on two cores)"
cargo build --workspace --quiet
store="${CARGO_TARGET_DIR:-target}/debug/store"

dir=$(mktemp -d)
nodes=()
finish() {
    for node in "${nodes[@]}"; do kill "$node" 2>/dev/null && wait "$node" || true; done
    rm -rf "$dir"
}
trap finish EXIT

# Starts a node with the repo $dir/NAME, on a free port of loopback, and waits until it is ready.
start() {
    local name=$1
    shift
    "$store" --repo "$dir/$name" run --no-mdns --listen /ip4/127.0.0.1/tcp/0 "$@" \
        >"$dir/$name.out" 2>"$dir/$name.err" &
    nodes+=($!)
    until grep -qx ready "$dir/$name.out"; do
        if ! kill -0 $! 2>/dev/null; then cat "$dir/$name.err" >&2; exit 1; fi
        sleep 0.05
    done
}

show() {
    echo "\$ $*"
    "$@"
}

start alice
address=$(grep -m1 -o '/ip4/.*/p2p/.*' "$dir/alice.out")
start bob --bootstrap "$address"
head -c 64M /dev/urandom >"$dir/photo.img"

echo "two nodes run: alice at $address, and bob, who knows only alice"
show "$store" --repo "$dir/alice" add "$dir/photo.img"
cid=$("$store" --repo "$dir/alice" add --quiet "$dir/photo.img")
show "$store" --repo "$dir/bob" get "$cid" -o "$dir/fetched.img"
cmp "$dir/photo.img" "$dir/fetched.img"
echo "the bytes that bob has are the bytes that alice added"
echo
echo "the program: $store (try: $store --help)"
