#!/usr/bin/env bash
# Tool: SeaweedFS of 9 November 2026 (Go module v0.0.0-20261109003541-7506e5f91cd6), the time to live of files and volumes as its
#   servers read it.
# Expected: a time to live of N days keeps a file N days, or is refused.
# Happens: it is stored as one byte and a unit. What does not fit is turned into the next larger unit that fits, rounded down, without
#   a word: 366 days become 52 weeks (364 days), ten years with their leap days (3,653 days) become 3,630 days, and twenty
#   (7,305 days) 7,290. A year is 365 days: "20y" ends five days before twenty years are over.
# Hurts: records are gone up to three weeks before the end of the period that was asked for, and the number in the setup is the right one.
# Instead: give a time to live that survives (ask for the next larger whole month of 30 days), or leave it out and delete by a job that
#   computes with dates; read back what the server stored.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

cat > main.go <<'GO'
package main

import (
	"fmt"
	"os"

	"github.com/seaweedfs/seaweedfs/weed/storage/needle"
)

func main() {
	for _, text := range os.Args[1:] {
		ttl, err := needle.ReadTTL(text)
		if err != nil {
			panic(err)
		}
		fmt.Printf("%s is kept as %s: %d days\n", text, ttl, ttl.Minutes()/60/24)
	}
}
GO
(go mod init ttl && go get github.com/seaweedfs/seaweedfs@v0.0.0-20261109003541-7506e5f91cd6 && go mod tidy && go build -o ttl .) >go.log 2>&1 || { cat go.log >&2; exit 1; }
seen=$(./ttl 90d 366d 1000d 18M 3653d 7305d 20y)
echo "SeaweedFS v0.0.0-20261109003541-7506e5f91cd6"
echo "$seen"
[ "$seen" = "90d is kept as 3M: 90 days
366d is kept as 52w: 364 days
1000d is kept as 142w: 994 days
18M is kept as 18M: 540 days
3653d is kept as 121M: 3630 days
7305d is kept as 243M: 7290 days
20y is kept as 20y: 7300 days" ] || changed "other times are kept"
echo "as described"
