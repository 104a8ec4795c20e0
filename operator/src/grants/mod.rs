//! The rights of the operator, the destroyer and the granter, and the policies that limit them and protect the
//! office's decisions.
//!
//! ```text
//!   table, destroyer, granter ── data: scope, resource, names, verbs, why
//!     │
//!     ├─▶ rbac ──────▶ ClusterRole subrosa, Role subrosa, ClusterRole subrosa-namespace ─┐
//!     │                ClusterRole and Role subrosa-destroyer, subrosa-granter           │
//!   people ─────────▶ ClusterRoles for those who work with Subrosa ─────────────────────┼─▶ manifests ─▶ deploy/*.yaml
//!   admission ──────▶ ValidatingAdmissionPolicies: what RBAC cannot say ────────────────┘
//!     └── unedited: whether what stands in the cluster is still that (condition Guarded)
//! ```
//!
//! [`chart`] writes the same objects as Helm templates. [`audit`] compares what the operator did with the table, both
//! ways.
//!
//! RBAC controls verbs on resources, but sees neither labels nor contents. What the operator's verbs would allow
//! beyond its job is forbidden again by policies for its ServiceAccount. All of this is data: nothing here talks to a
//! server.

pub mod admission;
pub mod audit;
pub mod chart;
pub mod destroyer;
pub mod granter;
pub mod installation;
pub mod manifests;
pub mod people;
pub mod rbac;
pub mod table;

/// The name of the Lease in the operator's namespace.
pub const LEASE: &str = "subrosa";

pub use installation::{DESTROYER_ACCOUNT, GRANTER_ACCOUNT, Installation, InvalidInstallation};
pub use manifests::{files, manifests};
