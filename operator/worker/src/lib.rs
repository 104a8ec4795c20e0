//! What works on a Channel's data: seals files, opens them, moves them to another key.
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
//! ```
//!
//! It knows no Kubernetes client. A workload's own identity in Vault is all the power there is: with it a process seals
//! under the keys of its Channel, and opens what that Channel may open.

pub mod age;
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
