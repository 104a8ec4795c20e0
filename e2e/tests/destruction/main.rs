//! How data ends: real keys of a real OpenBao, held, approved, set aside, brought back and destroyed by the destroyer, with its
//! own identity. Its clocks, all three, are moved by the tests; nothing else is made up.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)] // A test may fail so.

mod adoption;
mod adoptions;
mod alerts;
mod backups;
mod breaker;
mod listed;
mod people;
mod process;
mod purged;
mod restored;
mod resurrected;
mod scale;
mod stopped;
mod thread;
mod traces;
mod world;
