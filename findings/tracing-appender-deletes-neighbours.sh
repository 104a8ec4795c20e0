#!/usr/bin/env bash
# Tool: the crate tracing-appender 0.2.5, its rolling file appender with a daily log "app" of which three files are kept (`max_log_files`).
# Expected: of the files that it writes (app.2026-11-30) it keeps the three newest by the date in their name, and leaves other files alone.
# Happens: each file whose name begins with the prefix counts as one of its own: an audit log app.audit.2026-11-28, a database app.db, a key
#   app.pem. The three that were made last stay, the others are deleted as the program starts and at each new day. With `filename_suffix("log")` it is
#   all files that begin and end so: app.audit.2026-11-28.log. Of its own logs, too, those made last stay and not those with the newest date:
#   after a copy of the folder that came last by name, which is the newest, can go and an old one stays. Nothing is said.
# Hurts: a log kept for days deletes the audit log that is kept for years, and the database or key of the program beside it, some days after both
#   began to work; a move to another volume leaves the wrong days.
# Instead: a folder for each log and for nothing else; no prefix that begins the name of anything else there; let something else delete old logs.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

mkdir src
cat >Cargo.toml <<'TOML'
[package]
name = "logs"
version = "0.0.0"
edition = "2021"
[dependencies]
tracing-appender = "=0.2.5"
[profile.dev]
debug = false
TOML
cat >src/main.rs <<'RS'
use std::{fs, io::Write, thread::sleep, time::Duration};
use tracing_appender::rolling::{RollingFileAppender, Rotation};

fn run(case: &str, suffix: Option<&str>, before: &[&str]) {
    fs::create_dir(case).unwrap();
    for name in before {
        fs::write(format!("{case}/{name}"), "example").unwrap();
        sleep(Duration::from_millis(30));
    }
    let log = RollingFileAppender::builder().rotation(Rotation::DAILY).filename_prefix("app").max_log_files(3);
    let log = if let Some(suffix) = suffix { log.filename_suffix(suffix) } else { log };
    writeln!(log.build(case).unwrap(), "started").unwrap();
    let gone: Vec<_> = before.iter().filter(|name| !fs::exists(format!("{case}/{name}")).unwrap()).copied().collect();
    println!("{case}: {} deleted of {}: {}", gone.len(), before.len(), gone.join(" "));
}

fn main() {
    run("prefix", None, &["app.db", "app.pem", "application.toml", "app.audit.2026-11-28", "app.2026-11-28", "app.2026-11-29"]);
    run("prefix and suffix", Some("log"), &["app.db", "app.audit.2026-11-27.log", "app.audit.2026-11-28.log", "app.2026-11-28.log", "app.2026-11-29.log"]);
    run("copied", None, &["app.2026-11-29", "app.2026-11-28", "app.2026-10-02", "app.2026-10-01"]);
}
RS
cargo build --quiet --target-dir target >cargo.log 2>&1 || { cat cargo.log >&2; exit 1; }
seen=$(target/debug/logs)
echo "$seen"
[ "$seen" = "prefix: 4 deleted of 6: app.db app.pem application.toml app.audit.2026-11-28
prefix and suffix: 2 deleted of 5: app.audit.2026-11-27.log app.audit.2026-11-28.log
copied: 2 deleted of 4: app.2026-11-29 app.2026-11-28" ] || changed "other files are deleted"
echo "as described"
