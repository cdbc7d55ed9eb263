#!/usr/bin/env bash
# Every relative link in the documents leads to a file or folder of the checkout.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

broken=0
while IFS= read -r document; do
    while IFS= read -r target; do
        path=${target%%#*}
        if [[ -z $path || $path == *://* || $path == mailto:* ]]; then continue; fi
        if [[ ! -e "$(dirname "$document")/$path" ]]; then
            echo "error: $document links to $path, which is not there"
            broken=1
        fi
    done < <(grep -oE '\]\([^) ]+\)' "$document" | sed -E 's/^\]\((.*)\)$/\1/')
done < <(git ls-files '*.md')
exit "$broken"
