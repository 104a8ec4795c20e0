//! `crds/yaml` is what the types say.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)] // A test may fail so.

use std::{collections::BTreeSet, fs, path::Path};

const REGENERATE: &str = "regenerate with `cargo run -p subrosa -- crds --write crds/yaml` \
                          (or `SUBROSA_UPDATE=1 cargo test -p subrosa-crds --test yaml`) and review the difference";

#[test]
fn the_files_are_what_the_types_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("yaml");
    let files = subrosa_crds::yaml::files().unwrap();
    if std::env::var_os("SUBROSA_UPDATE").is_some() {
        fs::create_dir_all(&folder).unwrap();
        for (name, text) in &files {
            fs::write(folder.join(name), text).unwrap();
        }
    }
    for (name, text) in &files {
        let written = fs::read_to_string(folder.join(name)).unwrap_or_default();
        assert!(written == *text, "crds/yaml/{name} is not what the types say: {REGENERATE}");
    }
    let expected: BTreeSet<String> = files.into_iter().map(|(name, _)| name).collect();
    let found: BTreeSet<String> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(found, expected, "crds/yaml holds other files than a file a kind: {REGENERATE}");
}

#[test]
fn the_same_build_gives_the_same_bytes() {
    assert_eq!(subrosa_crds::yaml::files().unwrap(), subrosa_crds::yaml::files().unwrap());
}
