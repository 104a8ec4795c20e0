//! The rooms of this crate stand on each other: what a source file imports of the crate stands below it.
//!
//! Read are the sources as text, because the compiler allows every circle inside one crate. Test modules are left
//! out: they build whole plans to judge a part of one, and nothing that ships depends on them.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)] // A test may fail so.

mod source;

use std::{
    fs,
    path::{Path, PathBuf},
};

use source::{imports, shipped, shipped_files};

/// Each room and what it may import, from the ground up. A new room gets a line here and in the drawing of `lib.rs`.
const ROOMS: [(&str, &[&str]); 18] = [
    ("world", &[]),
    ("record", &["world"]),
    ("consent", &["world", "record"]),
    ("certificate", &["world", "record", "consent"]),
    ("network", &["world", "record", "consent"]),
    ("keys", &["world", "record"]),
    ("destruction", &["world", "record", "keys"]),
    ("sealing", &["world", "keys"]),
    ("backup", &["world", "record", "keys", "network", "sealing"]),
    ("access", &["world", "record"]),
    ("roles", &["world", "record"]),
    ("adoption", &["world", "record", "destruction", "access"]),
    ("channel", &["world", "record", "consent", "certificate", "network", "keys", "sealing", "backup"]),
    ("probe", &["world", "network", "channel"]),
    ("restart", &["world", "record", "certificate", "channel", "probe"]),
    ("pod_certificate", &["world", "record", "certificate", "channel"]),
    (
        "status",
        &[
            "world",
            "record",
            "consent",
            "certificate",
            "network",
            "keys",
            "backup",
            "channel",
            "probe",
            "restart",
        ],
    ),
    ("discover", &["world"]),
];

#[test]
fn every_room_imports_only_rooms_below_it() {
    let mut wrong = Vec::new();
    for file in sources() {
        let room = room_of(&file);
        let allowed = ROOMS.iter().find(|(name, _)| *name == room).map(|(_, allowed)| *allowed);
        let allowed = allowed.unwrap_or_else(|| panic!("{room} is no room: add it to ROOMS"));
        let text = shipped(&fs::read_to_string(&file).unwrap());
        for import in imports(&text).into_iter().filter(|import| *import != room) {
            if !allowed.contains(&import.as_str()) {
                wrong.push(format!("{} imports {import}, which does not stand below {room}", file.display()));
            }
        }
        if climbs_out(&file, &text) {
            wrong.push(format!("{} leaves its room by super: write crate::<room>", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Defaults and presets are filled in there, and nothing else may read what is not.
#[test]
fn what_a_channel_declares_is_read_in_one_file() {
    let home = src().join("world/declaration.rs");
    // A draft is written there, not read.
    let drafts = src().join("discover");
    let mut wrong = Vec::new();
    for file in sources().into_iter().filter(|file| *file != home && !file.starts_with(&drafts)) {
        let text = shipped(&fs::read_to_string(&file).unwrap());
        for raw in ["ChannelSpec", "&Channel", "<Channel>", ": Channel", ".object().spec"] {
            let ends = |rest: &str| !rest.starts_with(|one: char| one.is_alphanumeric() || one == ':');
            if text.match_indices(raw).any(|(at, _)| ends(&text[at + raw.len()..])) {
                wrong.push(format!("{} has {raw:?}: give Declaration a method", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_a_room_may_import_stands_above_it_in_the_list() {
    for (at, (room, allowed)) in ROOMS.iter().enumerate() {
        for below in *allowed {
            assert!(ROOMS[..at].iter().any(|(name, _)| name == below), "{room} may import {below}");
        }
    }
}

#[test]
fn every_room_has_a_directory_and_is_in_the_drawing() {
    for entry in fs::read_dir(src()).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        let known = ["lib.rs", "testing.rs"].contains(&name.as_str());
        assert!(known || ROOMS.iter().any(|(room, _)| *room == name), "{name} is in no room and is none");
    }
    let drawing = fs::read_to_string(src().join("lib.rs")).unwrap();
    for (room, _) in ROOMS {
        assert!(src().join(room).join("mod.rs").is_file(), "{room}");
        assert!(drawing.lines().any(|line| line.starts_with("//!") && line.contains(room)), "{room}");
    }
}

#[test]
fn imports_are_read_in_every_form() {
    let text = "use crate::{\n    network,\n    world::{World, fault::Fault},\n};\nuse crate::keys::x; // crate::not\n\
                fn f() -> crate::status::Applied {}\n#[cfg(test)]\nmod tests {\n    use crate::testing::Scene;\n}\n";
    let found: Vec<_> = imports(&shipped(text)).into_iter().collect();
    assert_eq!(found, ["keys", "network", "status", "world"]);
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The source files of rooms, without those that are compiled for tests alone.
fn sources() -> Vec<PathBuf> {
    let rooms: Vec<_> = ROOMS.iter().map(|(room, _)| src().join(room)).collect();
    let files = shipped_files(&rooms);
    assert!(files.len() > 50, "only {} files were found", files.len());
    files
}

fn room_of(file: &Path) -> String {
    let inside = file.strip_prefix(src()).unwrap();
    inside.components().next().unwrap().as_os_str().to_string_lossy().into_owned()
}

/// Whether a chain of `super` leads out of the room.
fn climbs_out(file: &Path, text: &str) -> bool {
    let inside = file.strip_prefix(src()).unwrap().components().count();
    let depth = if file.ends_with("mod.rs") { inside - 1 } else { inside };
    text.contains(&"super::".repeat(depth))
}
