//! `tls.delivery: PodCertificate` on a real API server: the test plays the kubelet, with the identity of a node,
//! a key of its own and the API server's own checks in between.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)] // A test may fail so.

#[path = "../behaviour/files.rs"]
#[allow(dead_code, reason = "shared with the tests of behaviour")]
mod files;
#[path = "../behaviour/generations.rs"]
mod generations;
#[path = "../behaviour/handshake.rs"]
#[allow(dead_code, reason = "shared with the tests of behaviour")]
mod handshake;
#[path = "../behaviour/policies.rs"]
#[allow(dead_code, reason = "shared with the tests of behaviour")]
mod policies;
#[path = "../behaviour/world.rs"]
#[allow(dead_code, reason = "shared with the tests of behaviour")]
mod world;

mod denied;
mod etcd;
mod issued;
mod kubelet;
mod late;
mod rotation;
mod switched;
