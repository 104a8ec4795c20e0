//! From a namespace that runs already to one that is governed, on a real API server, without an interrupted
//! connection.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)] // A test may fail so.

mod definitions;
mod discover;
mod enforce;
mod external;
mod foreign;
mod traffic;

// Shared with other tests, which use what is not used here.
#[allow(dead_code)]
#[path = "../topologies/evaluator.rs"]
mod evaluator;
#[allow(dead_code)]
#[path = "../behaviour/files.rs"]
mod files;
#[allow(dead_code)]
#[path = "../behaviour/policies.rs"]
mod policies;
#[allow(dead_code)]
#[path = "../topologies/town.rs"]
mod town;
#[allow(dead_code)]
#[path = "../behaviour/world.rs"]
mod world;
