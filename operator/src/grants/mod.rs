//! What the operator, the destroyer and the granter may do, and what keeps that and the office's decisions in place.
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
//! [`chart`] writes the same objects as templates of the Helm chart. [`audit`] holds what the operator did
//! against the table, both ways.
//!
//! RBAC says which verbs on which resources; it knows neither labels nor contents. Whatever the
//! operator could do beyond its job with a verb it needs is taken away again by a policy that
//! applies to its ServiceAccount only. All of this is data: nothing here talks to a server.

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

pub use installation::{DESTROYER_ACCOUNT, GRANTER_ACCOUNT, Installation, InvalidInstallation};
pub use manifests::{files, manifests};
