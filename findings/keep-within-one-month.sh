#!/usr/bin/env bash
# Tools: restic 0.19.1 (Go) and rustic_core 0.13.0 (Rust), both on the same snapshots of one repository.
# Expected: `keep-within 1m` keeps the snapshots of the last month in both, and on 31 March that month begins at the end of February.
# Happens: three answers. restic subtracts the month in Go's calendar: "31 February" becomes 3 March, so only 28 days are kept.
#   rustic reads `1m` as one minute and keeps the newest snapshot alone. Its month is `1mo`; it is added to each snapshot's own date, and
#   reaches back to 1 March here.
# Hurts: who moves a retention policy from restic to rustic word for word loses nearly every backup at the next prune; who runs restic
#   on the 29th to 31st of a month loses up to three days of backups that the policy promised to keep.
# Instead: state retention in days (`31d` means the same in both), and list with a dry run what a policy would remove before it runs.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export CARGO_TARGET_DIR="$work/target"
changed() { echo "CHANGED: $1" >&2; exit 1; }

GOBIN="$work/bin" go install github.com/restic/restic/cmd/restic@v0.19.1 2>go.log || { cat go.log >&2; exit 1; }
mkdir -p rule/src source
cat > rule/Cargo.toml <<'TOML'
[package]
name = "rule"
version = "0.0.0"
edition = "2021"
[dependencies]
jiff = "0.2"
rustic_core = "=0.13.0"
serde_json = "1"
[profile.dev]
debug = false
TOML
cat > rule/src/main.rs <<'RUST'
use rustic_core::{repofile::SnapshotFile, KeepOptions};
fn main() {
    let within: jiff::Span = std::env::args().nth(1).unwrap().parse().unwrap();
    let snapshots: Vec<SnapshotFile> = serde_json::from_reader(std::io::stdin()).unwrap();
    let keep = KeepOptions::default().keep_within(within);
    for one in keep.apply(snapshots, &jiff::Zoned::now()).unwrap() {
        if one.keep {
            println!("{}", one.snapshot.time.strftime("%m-%d"));
        }
    }
}
RUST
cargo build --quiet --manifest-path rule/Cargo.toml

export RESTIC_REPOSITORY="$work/repo" RESTIC_PASSWORD=example RESTIC_CACHE_DIR="$work/cache" TZ=UTC
bin/restic version
echo "rustic_core $(cargo metadata --format-version 1 --manifest-path rule/Cargo.toml |
    python3 -c 'import json, sys; print(next(p["version"] for p in json.load(sys.stdin)["packages"] if p["name"] == "rustic_core"))')"
echo text > source/file
bin/restic init --quiet
for day in 02-26 02-28 03-01 03-02 03-03 03-30 03-31; do
    bin/restic backup --quiet --time "2026-$day 12:00:00" source
done
# Noon of 3 March lies exactly at the edge, so one more snapshot is made in the evening of that day.
bin/restic backup --quiet --time "2026-03-03 18:00:00" source

restic_keeps=$(bin/restic forget --dry-run --json --keep-within 1m |
    python3 -c 'import json, sys; print(*sorted(s["time"][5:10] for s in json.load(sys.stdin)[0]["keep"]))')
rustic() { bin/restic snapshots --json | target/debug/rule "$1" | sort | xargs; }
rustic_1m=$(rustic 1m)
rustic_1mo=$(rustic 1mo)
rustic_31d=$(rustic 31d)
restic_31d=$(bin/restic forget --dry-run --json --keep-within 31d |
    python3 -c 'import json, sys; print(*sorted(s["time"][5:10] for s in json.load(sys.stdin)[0]["keep"]))')
echo "newest snapshot: 31 March, noon"
echo "restic, 1m:  keeps $restic_keeps"
echo "rustic, 1m:  keeps $rustic_1m"
echo "rustic, 1mo: keeps $rustic_1mo"
echo "restic, 31d: keeps $restic_31d"
echo "rustic, 31d: keeps $rustic_31d"
[ "$restic_keeps" = "03-03 03-30 03-31" ] || changed "restic's 1m on 31 March no longer begins on 3 March"
[ "$rustic_1m" = "03-31" ] || changed "rustic's 1m is no longer one minute"
[ "$rustic_1mo" = "03-01 03-02 03-03 03-03 03-30 03-31" ] || changed "rustic's 1mo on 31 March no longer reaches back to 1 March"
[ "$restic_31d" = "$rustic_31d" ] || changed "31d differs between restic and rustic"
echo "as described"
