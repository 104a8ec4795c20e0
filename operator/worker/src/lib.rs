//! The worker for a Channel's data: seals files, opens them, and moves them to other keys.
//!
//! ```text
//!  seal ──> age      the file format, on every core
//!   │  └──> stanza   the one recipient of a file: a key in Vault
//!   │  └──> target   a file that is there whole or not at all
//!   ├─────> cohort   under which key
//!   ├─────> session  a login to Vault
//!   └─────> settings what the Channel's ConfigMap says
//!  plugin           the same for stock age and rage
//!  purge            removes what nothing opens any more
//!  backup           the backups of a Channel's volumes: runs, restores, checks
//! ```
//!
//! It has no Kubernetes client. Its only authority is a workload's own identity in Vault, with which it seals under
//! the Channel's keys and opens what the Channel may open; a backup worker's is another, for the keys of backups alone.

pub mod age;
pub mod backup;
pub mod cohort;
mod file_state;
pub mod item;
pub mod plugin;
pub mod purge;
pub mod reseal;
pub mod seal;
pub mod session;
pub mod settings;
mod shown;
pub mod stanza;
pub mod target;
pub mod watch;

pub use shown::shown;
