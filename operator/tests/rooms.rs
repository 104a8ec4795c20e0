//! The rooms of the operator: imports between them go one way, as the table in CONTRIBUTING.md has it.
//!
//! Read are the sources as text, because the compiler allows every circle inside one crate. Test modules are left out.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)] // A test may fail so.

#[path = "../plan/tests/source/mod.rs"]
mod source;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use source::{imports, shipped, shipped_files};

/// Each module of the crate's root and what it may import, from the ground up.
const ROOMS: [(&str, &[&str]); 21] = [
    ("pending", &[]),
    ("pki", &[]),
    ("subject", &[]),
    ("grants", &[]),
    ("logging", &[]),
    ("traces", &["logging"]),
    ("observe", &["pending", "pki", "subject", "grants"]),
    ("report", &["observe"]),
    ("lead", &["grants", "report"]),
    ("session", &["observe", "lead"]),
    ("settings", &["logging", "observe"]),
    ("context", &["pending", "subject", "grants", "observe", "report", "session"]),
    ("changes", &["pki", "subject", "observe"]),
    ("execute", &["pki", "subject", "grants", "observe", "context", "changes"]),
    ("kinds", &["pending", "subject", "grants", "observe", "settings", "context", "changes"]),
    ("controllers", &["pending", "subject", "observe", "settings", "context", "changes", "execute", "kinds"]),
    ("server", &["context", "kinds"]),
    (
        "run",
        &[
            "pending", "subject", "grants", "logging", "traces", "observe", "report", "lead", "session",
            "settings", "context", "kinds", "server",
        ],
    ),
    ("cli", &["pki", "grants", "logging", "observe", "settings", "run"]),
    ("lib", &[]),
    ("main", &[]),
];

/// Imports that lead upwards all the same, and why. One that is gone leaves this list.
const UPWARDS: [(&str, &str, &str); 4] = [
    (
        "observe/definitions.rs",
        "context",
        "it looks as long as the operator runs, and notes what it finds there",
    ),
    (
        "observe/pod_certificates.rs",
        "context",
        "it follows requests as long as the operator runs, and wakes Channels",
    ),
    ("observe/probe/mod.rs", "context", "it probes as long as the operator runs, and wakes Channels"),
    (
        "observe/key_watch.rs",
        "changes",
        "what it found of keys is taken into the world as any other change is",
    ),
];

#[test]
fn every_room_imports_only_rooms_below_it() {
    let (mut wrong, mut met) = (Vec::new(), BTreeSet::new());
    for file in sources() {
        let inside = inside(&file);
        let room = room_of(&inside);
        let allowed = ROOMS.iter().find(|(name, _)| *name == room).map(|(_, allowed)| *allowed);
        let allowed = allowed.unwrap_or_else(|| panic!("{room} is no room: add it to ROOMS"));
        let text = shipped(&fs::read_to_string(&file).unwrap());
        for import in imports(&text).into_iter().filter(|import| *import != room && is_room(import)) {
            if UPWARDS.iter().any(|(from, to, _)| *from == inside && *to == import) {
                met.insert((inside.clone(), import));
            } else if !allowed.contains(&import.as_str()) {
                wrong.push(format!("{inside} imports {import}, which does not stand below {room}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(met.len(), UPWARDS.len(), "of UPWARDS only these are so: {met:?}");
}

#[test]
fn what_a_room_may_import_stands_above_it_in_the_list() {
    for (at, (room, allowed)) in ROOMS.iter().enumerate() {
        for below in *allowed {
            assert!(ROOMS[..at].iter().any(|(name, _)| name == below), "{room} may import {below}");
        }
    }
}

/// Whoever looks for the house in CONTRIBUTING.md finds the rooms there.
#[test]
fn the_rooms_of_the_table_are_rooms() {
    let page = fs::read_to_string(src().join("../../CONTRIBUTING.md")).unwrap();
    for room in [
        "changes",
        "controllers",
        "kinds",
        "observe",
        "session",
        "execute",
        "report",
        "pki",
        "lead",
        "grants",
        "cli",
    ] {
        assert!(is_room(room), "{room}");
        let named = [format!("| `{room}/`"), format!("| `{room}`")];
        assert!(named.iter().any(|name| page.contains(name)), "{room} has no row in CONTRIBUTING.md");
    }
}

fn is_room(name: &str) -> bool {
    ROOMS.iter().any(|(room, _)| *room == name)
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn sources() -> Vec<PathBuf> {
    let files = shipped_files(&[src()]);
    assert!(files.len() > 150, "only {} files were found", files.len());
    files
}

fn inside(file: &Path) -> String {
    file.strip_prefix(src()).unwrap().to_string_lossy().into_owned()
}

fn room_of(inside: &str) -> &str {
    inside.split('/').next().unwrap_or_default().trim_end_matches(".rs")
}
