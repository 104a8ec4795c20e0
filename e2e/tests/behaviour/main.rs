//! What the operator does in a real cluster with a real OpenBao: what it issues, what it heals, what it
//! opens and closes, and what it says of it. Every claim of a status is held against its effect.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)] // A test may fail so.

mod admission;
mod adoption;
mod alerts;
mod around;
mod backups;
mod clock;
mod closing;
mod drills;
mod faults;
mod files;
mod foreign;
mod forgotten;
mod full;
mod generations;
mod gone;
mod handshake;
mod healing;
mod identity;
mod issued;
mod late;
mod limited;
mod openssl;
mod orphaned;
mod outage;
mod outdated;
mod parties;
mod peers;
mod pending;
mod policies;
mod records;
mod recreated;
mod resealing;
mod rotation;
mod sealing;
mod settings;
mod store;
mod tampering;
mod two_domains;
mod unreadable;
mod upgrade;
mod vault;
mod watching;
mod world;
