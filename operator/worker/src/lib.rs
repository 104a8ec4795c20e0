//! What works on a Channel's data: seals files, opens them, moves them to another key.
//!
//! ```text
//! age (the file format)
//! ```
//!
//! It knows no Kubernetes client. A workload's own identity in Vault is all the power there is: with it a process seals
//! under the keys of its Channel, and opens what that Channel may open.

pub mod age;
