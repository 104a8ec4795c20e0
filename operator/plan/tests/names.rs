//! One thing has one name: no two public types of the crates that make up the operator are called the same.
//!
//! Who reads a signature then knows which type it is without looking at the imports.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)] // A test may fail so.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// The sources of each crate, from this one's directory.
const CRATES: [&str; 8] = [
    "src",
    "../records/src",
    "../worker/src",
    "../process/src",
    "../granter/src",
    "../destroyer/src",
    "../src",
    "../../crds/src",
];

/// Every command of `subrosa` has its own.
const OF_EACH: [&str; 1] = ["Args"];

#[test]
fn no_two_public_types_have_one_name() {
    let mut places: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for file in CRATES.iter().flat_map(|place| sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(place))) {
        for name in public_types(&fs::read_to_string(&file).unwrap()) {
            let files = places.entry(name).or_default();
            // One that is written once for each platform is one.
            if files.last() != Some(&file) {
                files.push(file.clone());
            }
        }
    }
    assert!(places.len() > 300, "only {} types were found", places.len());
    let twice = places.iter().filter(|(name, files)| files.len() > 1 && !OF_EACH.contains(&name.as_str()));
    let twice: Vec<_> = twice.map(|(name, files)| format!("{name}: {files:?}")).collect();
    assert!(twice.is_empty(), "call each by what it is:\n{}", twice.join("\n"));
}

#[test]
fn public_types_are_read_in_every_form() {
    let text = "pub struct One;\n    pub enum Two<T> {}\npub(crate) struct Three;\nstruct Four;\npub trait Five: Sized {}\n\
                pub type Six = u8;\npub fn struct_of() {}\n#[cfg(test)]\nmod tests {\n    pub struct Seven;\n}\n";
    assert_eq!(public_types(text), ["One", "Two", "Five", "Six"]);
}

/// The source files below `place`, without those that are compiled for tests alone.
fn sources(place: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(place).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let stem = name.trim_end_matches(".rs");
        if ["tests", "testing", "simulation", "step_tests", "traces", "fake"].contains(&stem) {
            continue;
        }
        if path.is_dir() {
            found.extend(sources(&path));
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
    found
}

/// The types that a source file makes public, up to its tests.
fn public_types(text: &str) -> Vec<String> {
    let tests = text
        .match_indices("#[cfg(test)]\nmod ")
        .find(|(at, start)| text[at + start.len()..].lines().next().is_some_and(|line| line.ends_with('{')));
    let shipped = tests.map_or(text, |(at, _)| &text[..at]);
    let name_of = |line: &str| {
        let rest = line.trim_start().strip_prefix("pub ")?;
        let (kind, rest) = rest.split_once(' ')?;
        ["struct", "enum", "trait", "type"]
            .contains(&kind)
            .then(|| rest.chars().take_while(|one| one.is_alphanumeric() || *one == '_').collect::<String>())
    };
    shipped.lines().filter_map(name_of).collect()
}
