#!/usr/bin/env bash
# Tool: rustic_core 0.13.0 (Rust), the rules of `forget` alone.
# Expected: `keep-minutely 6` keeps the last snapshot of each of the six last minutes that have one, as `keep-hourly 6` does for hours.
# Happens: two snapshots count as of one minute if both lie in the same half year and the minute of the hour is the same. Of
#   snapshots made on the hour, day after day, the newest is kept and the oldest (which is always kept while the count lasts), and all
#   between them go. The same list under `keep-hourly 6` keeps six.
# Hurts: who writes a fine rule ("keep the last 6, minute by minute") over a schedule that runs at a fixed minute keeps two backups.
# Instead: use `keep-last` for the newest few and `keep-hourly` beyond it; check with a dry run.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export CARGO_TARGET_DIR="$work/target"
changed() { echo "CHANGED: $1" >&2; exit 1; }

mkdir src
cat > Cargo.toml <<'TOML'
[package]
name = "rule"
version = "0.0.0"
edition = "2021"
[dependencies]
jiff = "0.2"
rustic_core = "=0.13.0"
[profile.dev]
debug = false
TOML
cat > src/main.rs <<'RUST'
use rustic_core::{repofile::SnapshotFile, KeepOptions};
fn snapshots(minutes: i64) -> Vec<SnapshotFile> {
    let first: jiff::Zoned = "2026-03-02T08:00[UTC]".parse().unwrap();
    (0..10)
        .map(|n| {
            let mut one = SnapshotFile::default();
            one.time = &first + jiff::Span::new().minutes(n * minutes);
            one
        })
        .collect()
}
fn kept(rule: &KeepOptions, minutes: i64) -> usize {
    let all = rule.apply(snapshots(minutes), &jiff::Zoned::now()).unwrap();
    all.iter().filter(|one| one.keep).count()
}
fn main() {
    let (minutely, hourly) = (KeepOptions::default().keep_minutely(6), KeepOptions::default().keep_hourly(6));
    println!("ten snapshots, one every hour: minutely keeps {}", kept(&minutely, 60));
    println!("ten snapshots, one every hour: hourly keeps {}", kept(&hourly, 60));
    println!("ten snapshots, one every minute: minutely keeps {}", kept(&minutely, 1));
}
RUST
cargo build --quiet
echo "rustic_core $(cargo metadata --format-version 1 |
    python3 -c 'import json, sys; print(next(p["version"] for p in json.load(sys.stdin)["packages"] if p["name"] == "rustic_core"))')"
seen=$(target/debug/rule)
echo "$seen"
[ "$seen" = "ten snapshots, one every hour: minutely keeps 2
ten snapshots, one every hour: hourly keeps 6
ten snapshots, one every minute: minutely keeps 6" ] || changed "the rules keep other numbers of snapshots"
echo "as described"
