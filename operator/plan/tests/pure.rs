//! The crates that decide link nothing that speaks, waits or draws lots.
//!
//! A feature that one crate of the workspace asks for is easily written where all have it; then a decision could
//! read the API server, and nobody would see it in a review.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)] // A test may fail so.

#[allow(dead_code)] // Another test reads more of them.
mod source;

use std::{fs, path::Path, process::Command};

use source::{shipped, shipped_files};

/// What brings a network, a runtime or randomness.
const IMPURE: [&str; 12] = [
    "kube-client",
    "kube-runtime",
    "hyper",
    "hyper-util",
    "tokio",
    "tokio-util",
    "tower",
    "reqwest",
    "vaultrs",
    "rustls",
    "rand",
    "getrandom",
];

/// The names of all crates that `package` links when it is built alone.
fn linked(package: &str) -> Vec<String> {
    let arguments = [
        "tree",
        "--package",
        package,
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--format",
        "{p}",
        "--offline",
        "--locked",
    ];
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap_or_else(|error| panic!("cargo tree: {error}"));
    assert!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn the_crates_that_decide_link_no_client_no_runtime_and_no_randomness() {
    for package in ["subrosa-crds", "subrosa-plan"] {
        let linked = linked(package);
        assert!(
            linked.iter().any(|name| name == "kube-core"),
            "{package}: the tree was not read: {linked:?}"
        );
        let impure: Vec<_> = linked.iter().filter(|name| IMPURE.contains(&name.as_str())).collect();
        assert!(
            impure.is_empty(),
            "{package} links {impure:?}: add the feature where it is needed, not in the workspace"
        );
    }
}

#[test]
fn the_operator_does_link_them() {
    let linked = linked("subrosa");
    for name in ["kube-client", "kube-runtime", "hyper", "tokio"] {
        assert!(linked.iter().any(|one| one == name), "{name} is not found where it must be");
    }
}

#[test]
fn the_destroyer_links_neither_the_operator_nor_what_opens_data() {
    let linked = linked("subrosa-destroyer");
    assert!(linked.iter().any(|name| name == "kube-client"), "the tree was not read: {linked:?}");
    let foreign = ["subrosa", "subrosa-worker", "age-core", "age-plugin", "rcgen", "kube-runtime"];
    let found: Vec<_> = linked.iter().filter(|name| foreign.contains(&name.as_str())).collect();
    assert!(found.is_empty(), "{found:?}");
}

/// How a clock is read.
const CLOCKS: [&str; 5] = ["Timestamp::now", "Zoned::now", "SystemTime", "Instant", "Utc::now"];

/// The clocks that a source reads.
fn clocks(text: &str) -> Vec<&'static str> {
    let words = shipped(text);
    CLOCKS.into_iter().filter(|clock| words.contains(clock)).collect()
}

/// Time is an argument of every decision: what is decided today is decided the same way in a test of the year 2100.
#[test]
fn the_crates_that_decide_read_no_clock() {
    let places = ["src", "../../crds/src"].map(|place| Path::new(env!("CARGO_MANIFEST_DIR")).join(place));
    let files = shipped_files(&places);
    assert!(files.len() > 150, "only {} files were found", files.len());
    let wrong: Vec<_> = files
        .iter()
        .map(|file| (file, clocks(&fs::read_to_string(file).unwrap())))
        .filter(|(_, clocks)| !clocks.is_empty())
        .collect();
    assert!(wrong.is_empty(), "take the time as an argument: {wrong:#?}");
}

#[test]
fn a_clock_is_seen_where_it_ships() {
    let ships = "fn f() -> Timestamp {\n    Timestamp::now()\n}\n";
    assert_eq!(clocks(ships), ["Timestamp::now"]);
    assert_eq!(clocks("use std::time::{Duration, Instant};\n"), ["Instant"]);
    assert!(clocks("/// Not `Timestamp::now`.\nfn f() {}\n").is_empty());
    assert!(clocks("fn f() {}\n#[cfg(test)]\nmod tests {\n    use std::time::SystemTime;\n}\n").is_empty());
}
