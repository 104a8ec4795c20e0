#!/usr/bin/env bash
# Tool: restic 0.19.1, `forget --prune` with its default settings.
# Expected: once the only snapshot with a file is forgotten and pruned, the file's content is no longer in the repository.
# Happens: prune leaves up to 5 % of the repository unused (--max-unused), as rewriting costs time. What is left stays in the index too:
#   `restic cat blob` prints the erased content, under the SHA-256 of the content, which can be looked up in a list of hashes.
#   Snapshots, `find` and `restore` no longer show it, and prune says "unused size after prune". `--max-unused 0` removes it.
# Hurts: one caller's erased notes are always far below 5 %: erasing by forget and prune leaves them readable with the repository's
#   password, for as long as little else is pruned, and an audit by `restic find` passes.
# Instead: prune with `--max-unused 0` after an erasure and look for the blob by its hash; or keep what must be erased apart
#   under keys of its own and destroy the key.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

GOBIN="$work/bin" go install github.com/restic/restic/cmd/restic@v0.19.1 2>go.log || { cat go.log >&2; exit 1; }
export RESTIC_REPOSITORY="$work/repository" RESTIC_PASSWORD=example RESTIC_CACHE_DIR="$work/cache"
restic=bin/restic
"$restic" version | cut -d ' ' -f 1,2
"$restic" init --quiet
mkdir calls
for n in $(seq 30); do head -c 200000 /dev/urandom > "calls/$n.wav"; done
echo "the caller's words" > calls/note.txt
"$restic" backup --quiet calls
erased=$("$restic" snapshots --json | python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["short_id"])')
rm calls/note.txt
"$restic" backup --quiet calls
"$restic" forget --prune "$erased" | grep '^unused size'
blob=$(echo "the caller's words" | sha256sum | cut -d ' ' -f 1)
seen=$(
    echo "found in snapshots: $("$restic" find --json note.txt | python3 -c 'import json, sys; print(len(json.load(sys.stdin)))')"
    echo "after forget --prune: $("$restic" cat blob "$blob" 2>/dev/null || echo not found)"
    "$restic" prune --quiet --max-unused 0 >prune.log
    echo "after prune --max-unused 0: $("$restic" cat blob "$blob" 2>/dev/null || echo not found)"
)
echo "$seen"
[ "$seen" = "found in snapshots: 0
after forget --prune: the caller's words
after prune --max-unused 0: not found" ] || changed "other content stays"
echo "as described"
