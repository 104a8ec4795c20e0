//! Carries out plans in a fixed order. Nothing here decides, and every step is idempotent.

pub mod access;
pub mod adoptions;
pub mod authority;
pub mod certificate;
pub mod channel;
pub mod destructions;
pub mod finalizer;
pub mod grant_slots;
pub mod keys;
pub mod left;
pub mod live;
pub mod namespace;
pub mod network;
pub mod objects;
pub mod pod_certificate;
pub mod restored;
pub mod signing;
pub mod slots;
pub mod store;
pub mod sweep;
pub mod withdraw;
