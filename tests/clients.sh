#!/usr/bin/env bash
# CAR files to and from other programs: npm's `ipfs-car` and `@ipld/car`, in both directions, byte for byte.
# Needs node, npm and the network that npm needs; what they once wrote is in tests/fixtures/car for all other days.
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

store=${PROGRAM:-}
if [[ -z $store ]]; then
    cargo build --quiet --workspace
    store="${CARGO_TARGET_DIR:-target}/debug/store"
fi
store=$(realpath "$store")
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cp tests/clients/car.mjs "$place"
cd "$place"
npm install --silent --no-audit --no-fund ipfs-car@3.1.0 @ipld/car@5.4.7 @ipld/dag-pb@4
ipfs_car() { node node_modules/ipfs-car/bin.js "$@"; }
export STORE_PATH="$place/ours"

mkdir -p tree/deep/er "tree/a name with spaces, ä"
printf 'hello, world\n' > tree/hello.txt
: > tree/empty
head -c 5000000 /dev/urandom > tree/deep/five-million
head -c 1048576 /dev/urandom > "tree/a name with spaces, ä/one-mebibyte"
for i in $(seq 500); do echo "$i" > "tree/deep/er/$i"; done

same() { cmp "$1" "$2" && echo "same bytes: $1 $2"; }

echo "== ours to theirs"
cid=$("$store" add --quiet tree)
"$store" car export "$cid" -o ours.car
"$store" car export "$cid" > piped.car
same ours.car piped.car
node car.mjs check ours.car
node car.mjs rewrite ours.car rewritten.car
same ours.car rewritten.car
node car.mjs depth-first ours.car ordered.car
same ours.car ordered.car
[[ $(ipfs_car roots ours.car) == "$cid" ]]
diff <(ipfs_car blocks ours.car) <("$store" car ls ours.car | awk '/ bytes at / {print $1}')
ipfs_car unpack ours.car --output unpacked
diff -r tree unpacked
echo "ipfs-car unpacked the tree as it was"

echo "== theirs to ours"
ipfs_car pack tree --no-wrap --output theirs.car > theirs.cid
theirs=$(cat theirs.cid)
STORE_PATH="$place/fresh" "$store" car import theirs.car
STORE_PATH="$place/fresh" "$store" pin ls
STORE_PATH="$place/fresh" "$store" get "$theirs" -o got
diff -r tree got
echo "the tree that ipfs-car packed came out as it was"
node car.mjs depth-first theirs.car theirs-ordered.car
STORE_PATH="$place/fresh" "$store" car export "$theirs" -o again.car
same theirs-ordered.car again.car
[[ $theirs == "$cid" ]] && echo "and it has the CID that we give it"

echo "== a directory of 5,000 entries, sharded"
mkdir shards
for i in $(seq 5000); do echo "$i" > "shards/entry with a long name $i"; done
cid=$("$store" add --quiet shards)
"$store" car export "$cid" | STORE_PATH="$place/fresh" "$store" car import --quiet -
"$store" car export "$cid" -o shards.car
node car.mjs check shards.car
ipfs_car unpack shards.car --output unpacked-shards
diff -r shards unpacked-shards
echo "all passed"
