//! What a change does to the world, and whom it wakes: one short file a kind. The watches bring changes, and so does
//! the operator's own writing, of which nobody should have to wait to hear.

pub mod channel;
pub mod external_party;
pub mod key;
pub mod namespace;
pub mod pod_certificate_request;
pub mod related;
pub mod retention_policy;
pub mod trust_domain;
