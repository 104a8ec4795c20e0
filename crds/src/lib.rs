//! The Subrosa API, group `subrosa.dev`, version `v1alpha1`.
//!
//! ```text
//!            TrustDomain ──────────── governs ───────────▶ Namespace (label subrosa.dev/trust-domain)
//!             │   │                                            │
//!    lists    │   │ network.services, dns                      │ holds
//!             ▼   ▼                                            ▼
//!  RetentionPolicy ◀── retentionPolicy, dataClasses ──────  Channel ◀── accepts / connectsTo ──▶ Channel
//!                                                              │
//!                     ExternalParty ◀── accepts / connectsTo ──┘     (both ends must say so)
//!
//!  RetentionPolicy ◀── what is due ── Destruction ◀── approves or denies ── Approval
//!                                          ▲                                    │
//!                                          └── stops ── LegalHold ◀── releases ─┤
//!                                                                               │
//!  Channel ◀── takes over the keys of an earlier one ── Adoption ◀── approves ──┘
//!
//!  Channel ◀── lets people open data of ── AccessRole ── after a login of ──▶ TrustDomain
//!                                              ▲
//!                                              ├── is given to one person for a time by ── AccessGrant ◀── approves ── Approval
//!                                              └── ends what a person, a group or a role was given ── AccessRevocation
//! ```
//!
//! This crate has what can be checked by looking at one resource alone: its shape, the rules that the API server
//! evaluates (CEL), its names, and the calendar arithmetic of retention. It has no client and no clock. What needs a
//! second object is decided in `subrosa-plan`.

pub mod access_grant;
pub mod access_revocation;
pub mod access_role;
pub mod adoption;
pub mod approval;
pub mod backup;
pub mod channel;
pub mod cohort;
pub mod common;
pub mod condition;
pub mod destruction;
pub mod external_party;
pub mod legal_hold;
pub mod names;
pub mod period;
pub mod preset;
pub mod reason;
pub mod retention;
pub mod retention_policy;
pub mod rules;
pub mod schema;
pub mod sealing;
pub mod trust_domain;
pub mod validate;
pub mod yaml;
pub mod zone;

pub use access_grant::{AccessGrant, AccessGrantSpec, AccessGrantStatus};
pub use access_revocation::{AccessRevocation, AccessRevocationSpec, AccessRevocationStatus};
pub use access_role::{AccessRole, AccessRoleSpec, AccessRoleStatus};
pub use adoption::{Adoption, AdoptionSpec, AdoptionStatus};
pub use approval::{Approval, ApprovalSpec};
pub use channel::{Channel, ChannelSpec, ChannelStatus};
pub use destruction::{Destruction, DestructionSpec, DestructionStatus};
pub use external_party::{ExternalParty, ExternalPartySpec, ExternalPartyStatus};
pub use legal_hold::{LegalHold, LegalHoldSpec, LegalHoldStatus};
pub use reason::Reason;
pub use retention_policy::{RetentionPolicy, RetentionPolicySpec, RetentionPolicyStatus};
pub use trust_domain::{TrustDomain, TrustDomainSpec, TrustDomainStatus};
pub use validate::{Violation, validate};

/// The API group of every kind.
pub const GROUP: &str = "subrosa.dev";
/// The served and stored version.
pub const VERSION: &str = "v1alpha1";
/// The field manager of everything the operator applies.
pub const FIELD_MANAGER: &str = "subrosa";
/// The label by which a namespace belongs to a TrustDomain; only who may `govern` that domain sets it.
pub const TRUST_DOMAIN_LABEL: &str = "subrosa.dev/trust-domain";
/// The label that names the Channel an object was made for.
pub const CHANNEL_LABEL: &str = "subrosa.dev/channel";
/// The label of what an AccessRole becomes in Kubernetes, with its name.
pub const ACCESS_ROLE_LABEL: &str = "subrosa.dev/access-role";
/// The annotation with an object's own UID that lets it be deleted past the deletion guard.
pub const CONFIRM_DELETE_ANNOTATION: &str = "subrosa.dev/confirm-delete";
/// The annotation by which a Channel consents to recreated namespaces: `<namespace>=<UID>`, separated by commas.
pub const CONSENTS_ANNOTATION: &str = "subrosa.dev/consents";
/// The annotation with the time (RFC 3339) for which a person asks that a Channel is backed up, beside its schedule.
pub const BACKUP_NOW_ANNOTATION: &str = "subrosa.dev/backup-now";
/// The same for a drill.
pub const DRILL_NOW_ANNOTATION: &str = "subrosa.dev/drill-now";
/// The annotation by which a person lets a TrustDomain adopt a store in Vault; a condition shows the value to write.
pub const ADOPT_STORE_ANNOTATION: &str = "subrosa.dev/adopt-store";
/// The only finalizer: a TrustDomain is deleted only after the access that it gave in Vault is withdrawn.
pub const WITHDRAW_ACCESS_FINALIZER: &str = "subrosa.dev/withdraw-access";

/// The CustomResourceDefinitions of every kind, in the order they are documented.
pub fn all()
-> Vec<k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition> {
    use schema::definition;
    vec![
        definition::<TrustDomain>(),
        definition::<ExternalParty>(),
        definition::<RetentionPolicy>(),
        definition::<Channel>(),
        definition::<AccessRole>(),
        definition::<AccessGrant>(),
        definition::<AccessRevocation>(),
        definition::<LegalHold>(),
        definition::<Destruction>(),
        definition::<Adoption>(),
        definition::<Approval>(),
    ]
}
