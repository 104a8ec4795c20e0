//! The failures of Vault, each with a stable reason and a next step, never with a secret.

use std::time::Duration;
use subrosa_crds::Reason;

use super::name::InvalidName;
use crate::gate::Closed;

/// A failure of one exchange with Vault.
#[derive(Debug, Clone, thiserror::Error)]
pub enum VaultError {
    /// A setting of the connection is wrong; nothing was sent.
    #[error("the Vault connection's {field} is invalid: {problem}")]
    Config {
        /// Which setting.
        field: &'static str,
        /// Its problem.
        problem: String,
    },
    /// A text is not allowed in a path; nothing was sent.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// Vault answers, but is sealed.
    #[error("Vault is sealed")]
    Sealed,
    /// No usable answer: no connection, a broken one, or a proxy that reports an upstream failure.
    #[error("Vault is unreachable: {reason}")]
    Unreachable {
        /// What happened, without addresses of third parties.
        reason: String,
    },
    /// No answer within the deadline.
    #[error("Vault did not answer {method} {path} within {after:?}")]
    Timeout {
        /// The request's method.
        method: String,
        /// The request's path.
        path: String,
        /// The deadline.
        after: Duration,
    },
    /// Vault redirected to another address. Redirects are never followed, because the token would go there too.
    #[error("Vault redirected {method} {path} (status {status})")]
    Redirected {
        /// The request's method.
        method: String,
        /// The request's path.
        path: String,
        /// The status of the answer.
        status: u16,
    },
    /// The token is valid, but its policies do not allow this.
    #[error("Vault refused {method} {path}: permission denied")]
    PermissionDenied {
        /// The request's method.
        method: String,
        /// The request's path.
        path: String,
        /// The policy line that allows this request.
        line: String,
    },
    /// The token is missing, expired or revoked.
    #[error("Vault does not accept the token any more")]
    TokenRejected,
    /// Another replica leads: nothing was sent, or the answer was given up.
    #[error("{0}")]
    NotLeading(#[from] Closed),
    /// A login was refused.
    #[error("Vault refused the login as role {role} at auth/{mount}: {detail}")]
    LoginRefused {
        /// The auth mount.
        mount: String,
        /// The role.
        role: String,
        /// What Vault said, or why no login was attempted.
        detail: String,
    },
    /// The object or the mount does not exist.
    #[error("Vault has nothing at {path}")]
    NotFound {
        /// The request's path.
        path: String,
    },
    /// The server has no such request, or none on this path.
    #[error("this Vault has no such request: {path}")]
    Unsupported {
        /// The request's path.
        path: String,
    },
    /// The server has no soft deletion, which OpenBao has.
    #[error("this Vault cannot soft-delete keys ({path}), so none of its keys is ever destroyed")]
    SoftDeleteUnsupported {
        /// The request's path.
        path: String,
    },
    /// The key is in use, so it was not deleted.
    #[error("the key {path} in Vault is not soft-deleted, so it is not deleted")]
    NotSoftDeleted {
        /// The key.
        path: String,
    },
    /// The entry was changed since it was read.
    #[error("{path} in Vault has changed since it was read")]
    CasConflict {
        /// The request's path.
        path: String,
    },
    /// Somebody deleted the newest version of the entry.
    #[error("version {version} of {path} in Vault was deleted by someone")]
    Deleted {
        /// The request's path.
        path: String,
        /// The deleted version.
        version: u64,
    },
    /// Vault rejected the request.
    #[error("Vault refused the request to {path} (status {status}): {}", .messages.join("; "))]
    Invalid {
        /// The request's path.
        path: String,
        /// The status of the answer.
        status: u16,
        /// What Vault said, shortened.
        messages: Vec<String>,
    },
    /// Vault failed while it processed the request; whether it took effect is unknown.
    #[error("Vault failed on {path} (status {status}): {}", .messages.join("; "))]
    Fault {
        /// The request's path.
        path: String,
        /// The status of the answer.
        status: u16,
        /// What Vault said, shortened.
        messages: Vec<String>,
    },
    /// The key-value engine is still initializing its storage, right after it was mounted.
    #[error("{path} in Vault is not ready yet")]
    NotReady {
        /// The request's path.
        path: String,
    },
    /// An answer that is not in Vault's format.
    #[error("the answer to {path} is not what Vault answers: {problem}")]
    Unexpected {
        /// The request's path.
        path: String,
        /// What is missing or wrong.
        problem: String,
    },
    /// The entry is not a valid record of Subrosa.
    #[error("the record {path} in Vault cannot be read: {problem}")]
    UnreadableRecord {
        /// The record.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A later release wrote the record, and this one must not overwrite what it does not understand.
    #[error("the record {path} in Vault has schema {schema}, and this release knows {known} at most")]
    NewerRecord {
        /// The record.
        path: String,
        /// Its schema.
        schema: u64,
        /// The newest schema that is known here.
        known: u64,
    },
    /// A role belongs to another trust domain or another operator.
    #[error("the role {path} in Vault is bound to {bound_to}, not to {wanted}: it is not bound anew")]
    RoleOfAnother {
        /// The role.
        path: String,
        /// Whose role it is.
        bound_to: String,
        /// Whose role it should be.
        wanted: String,
    },
    /// The transit mount has keys of others, and the setup does not say that it is shared on purpose.
    #[error(
        "the transit mount {path} in Vault has keys that are not Subrosa's ({count}, such as {}): whoever makes them could \
         bring back the name of a destroyed key, and the destroyer could delete them",
        .examples.join(", ")
    )]
    SharedMount {
        /// The mount.
        path: String,
        /// How many there are.
        count: usize,
        /// Some of their names, shortened.
        examples: Vec<String>,
    },
    /// The transit mount for certificate authorities has keys of others.
    #[error(
        "the transit mount {path} in Vault, for the keys of certificate authorities, has keys that are not Subrosa's ({count}, \
         such as {}): the operator could sign with them, and whoever makes them could make those of authorities",
        .examples.join(", ")
    )]
    SharedAuthorities {
        /// The mount.
        path: String,
        /// How many there are.
        count: usize,
        /// Some of their names, shortened.
        examples: Vec<String>,
    },
    /// A foreign policy allows its holders to create keys on one of Subrosa's transit mounts.
    #[error(
        "policy {policy} in Vault gives {} on {rule}, with which keys can be made on Subrosa's transit mount {mount}: who has it \
         could bring back the name of a destroyed key",
        .capabilities.join(", ")
    )]
    SharedByPolicy {
        /// The mount.
        mount: String,
        /// The policy, shortened.
        policy: String,
        /// The path of its rule, shortened.
        rule: String,
        /// The capabilities it grants.
        capabilities: Vec<String>,
        /// Whether the parameters may declare this mount shared.
        may_be_shared: bool,
    },
    /// A foreign policy could not be parsed, so what it allows is unknown.
    #[error(
        "policy {policy} in Vault cannot be read ({problem}), so whether it makes keys on Subrosa's mounts is not known"
    )]
    UnreadablePolicy {
        /// The policy, shortened.
        policy: String,
        /// What is not understood.
        problem: String,
    },
    /// The key-value mount has the records of another trust domain.
    #[error(
        "the key-value mount {path} has the records of trust domain {trust_domain}, expected those of {wanted}"
    )]
    StoreOfAnother {
        /// The mount.
        path: String,
        /// Whose records they are.
        trust_domain: String,
        /// Whose records they should be.
        wanted: String,
    },
    /// Something else occupies this path in Vault.
    #[error("{path} in Vault is {found}, expected {expected}")]
    Occupied {
        /// Where.
        path: String,
        /// What is there.
        found: String,
        /// What should be there.
        expected: String,
    },
}

impl VaultError {
    /// A stable CamelCase reason for conditions, events and metrics.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Config { .. } => Reason::VaultConfigInvalid,
            Self::Name(_) => Reason::VaultNameInvalid,
            Self::Sealed => Reason::VaultSealed,
            Self::Unreachable { .. } => Reason::VaultUnreachable,
            Self::Timeout { .. } => Reason::VaultTimeout,
            Self::Redirected { .. } => Reason::VaultRedirected,
            Self::PermissionDenied { .. } => Reason::VaultPermissionDenied,
            Self::TokenRejected => Reason::VaultTokenRejected,
            Self::NotLeading(_) => Reason::NotLeading,
            Self::LoginRefused { .. } => Reason::VaultLoginRefused,
            Self::NotFound { .. } => Reason::VaultNotFound,
            Self::Unsupported { .. } | Self::NotSoftDeleted { .. } => Reason::VaultRequestRefused,
            Self::SoftDeleteUnsupported { .. } => Reason::SoftDeleteUnsupported,
            Self::CasConflict { .. } => Reason::VaultConflict,
            Self::Deleted { .. } => Reason::VaultEntryDeleted,
            Self::Invalid { .. } => Reason::VaultRequestRefused,
            Self::Fault { .. } => Reason::VaultFault,
            Self::NotReady { .. } => Reason::VaultNotReady,
            Self::Unexpected { .. } => Reason::VaultAnswerUnexpected,
            Self::UnreadableRecord { .. } => Reason::RecordUnreadable,
            Self::NewerRecord { .. } => Reason::RecordNewer,
            Self::RoleOfAnother { .. } => Reason::VaultRoleTaken,
            Self::StoreOfAnother { .. } => Reason::StoreOfAnotherDomain,
            Self::SharedMount { .. }
            | Self::SharedAuthorities { .. }
            | Self::SharedByPolicy { .. }
            | Self::UnreadablePolicy { .. }
            | Self::Occupied { .. } => Reason::VaultPathOccupied,
        }
    }

    /// The next step for a person.
    pub fn next_step(&self) -> String {
        match self {
            Self::Config { field, .. } => format!("correct the {field} of the Vault connection"),
            Self::Name(name) => format!("use a {} of this form: {}", name.kind(), name.expected()),
            Self::Sealed => "unseal Vault; everything continues by itself afterwards".into(),
            Self::Unreachable { .. } | Self::Timeout { .. } => {
                "check that Vault runs, and that address, CA bundle and network policies lead to it".into()
            }
            Self::Redirected { .. } => {
                "give the address of Vault's active node or of a Service that selects it".into()
            }
            Self::PermissionDenied { line, .. } => {
                format!("run `subrosa vault-setup` again; the policy of this token lacks: {line}")
            }
            Self::TokenRejected => {
                "nothing, if the operator logs in by itself: it does so now; else replace the token".into()
            }
            Self::NotLeading(_) => "nothing: the replica that leads goes on with it".into(),
            Self::LoginRefused { role, mount, .. } => format!(
                "check that role {role} at auth/{mount} exists, is bound to this process's ServiceAccount and \
                 asks for the same audience; `subrosa vault-setup` writes it"
            ),
            Self::NotFound { .. } => {
                "check the mount's path; `subrosa vault-setup` makes what is static".into()
            }
            Self::CasConflict { .. } => "nothing: it is read again and retried".into(),
            Self::NotReady { .. } => "nothing: it is ready in a moment and the request is made again".into(),
            Self::Deleted { path, version } => {
                let (mount, entry) = path.split_once("/data/").unwrap_or(("MOUNT", path));
                format!(
                    "`bao kv undelete -mount={mount} -versions={version} {entry}`, then find out who deleted it"
                )
            }
            Self::SoftDeleteUnsupported { .. } => {
                "keep `mode: Report` in the RetentionPolicies of this trust domain, or move its keys to OpenBao".into()
            }
            Self::NotSoftDeleted { .. } => {
                "nothing, if a hold restored it; else find out who did: a key is deleted only after its grace period".into()
            }
            Self::Unsupported { .. } | Self::Invalid { .. } | Self::Unexpected { .. } => {
                "check Vault's version and mounts against the documentation, then Vault's own log".into()
            }
            Self::Fault { .. } => "read Vault's own log; the request is made again".into(),
            Self::UnreadableRecord { path, .. } => {
                format!("compare the versions of {path}, and put back the last one that Subrosa wrote")
            }
            Self::NewerRecord { .. } => {
                "run the release of the operator that wrote it, or a later one".into()
            }
            Self::RoleOfAnother { path, bound_to, .. } => format!(
                "give each trust domain an auth mount and engines of its own (spec.vault.auth.kubernetes.mount, \
                 spec.vault.mounts); if {bound_to} is gone for good, delete the role first: `bao delete {path}`"
            ),
            Self::SharedMount { path, .. } => format!(
                "give Subrosa a transit mount of its own (spec.vault.mounts.transit); or, if {path} is shared on purpose, \
                 give --shared-transit: then the destroyer gets no right on its keys, and retention is only reported"
            ),
            Self::SharedAuthorities { .. } => {
                "give the keys of authorities a transit mount of their own (spec.vault.mounts.authorities)".into()
            }
            Self::SharedByPolicy { mount, policy, rule, may_be_shared, .. } => {
                let otherwise = if *may_be_shared {
                    "; or, if it is shared on purpose, give --shared-transit: then nothing is destroyed there, and retention is \
                     only reported"
                } else {
                    ""
                };
                format!(
                    "narrow {rule} in policy {policy} so that it does not reach {mount}/keys/ and {mount}/restore, or give Subrosa \
                     another mount (spec.vault.mounts){otherwise}"
                )
            }
            Self::UnreadablePolicy { policy, .. } => {
                format!("write policy {policy} again as path \"…\" {{ capabilities = […] }}, or delete it if nobody has it")
            }
            Self::StoreOfAnother { wanted, .. } => format!(
                "give trust domain {wanted} a key-value mount of its own (spec.vault.mounts.kv, or --kv-mount)"
            ),
            Self::Occupied { path, expected, .. } => {
                format!("choose another mount than {path}, or make it {expected}")
            }
        }
    }

    /// Whether Vault refused this one request, so that it may take others.
    pub fn is_of_one_request(&self) -> bool {
        use VaultError::{Fault, Invalid, NotFound, PermissionDenied};
        matches!(self, Invalid { .. } | Fault { .. } | NotFound { .. } | PermissionDenied { .. })
    }

    /// Whether Vault answered but the entry is not a record that this release can use.
    pub fn is_unreadable(&self) -> bool {
        matches!(
            self,
            Self::Deleted { .. }
                | Self::UnreadableRecord { .. }
                | Self::NewerRecord { .. }
                | Self::Unexpected { .. }
        )
    }

    /// Whether the same request may succeed later without a change of settings.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Sealed
                | Self::Unreachable { .. }
                | Self::Timeout { .. }
                | Self::TokenRejected
                | Self::NotLeading(_)
                | Self::CasConflict { .. }
                | Self::NotReady { .. }
                | Self::Fault { .. }
        )
    }

    /// Whether a failed write may still have taken effect, so that one must read before writing again.
    pub fn outcome_unknown(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Timeout { .. }
                | Self::NotLeading(_)
                | Self::Fault { .. }
                | Self::Unexpected { .. }
        )
    }
}

/// How many messages, and how much of each, an error carries.
const MAX_MESSAGES: usize = 4;
const MAX_MESSAGE: usize = 240;

/// Vault's own messages, shortened, without control characters and without any of `secrets`.
pub(super) fn shorten<'a>(messages: impl IntoIterator<Item = &'a str>, secrets: &[&str]) -> Vec<String> {
    messages.into_iter().take(MAX_MESSAGES).map(|message| shorten_one(message, secrets)).collect()
}

fn shorten_one(message: &str, secrets: &[&str]) -> String {
    let mut text = message.to_owned();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        text = text.replace(secret, "[redacted]");
    }
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let line = words.collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MAX_MESSAGE) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_lose_secrets_control_characters_and_length() {
        let long = "x".repeat(1000);
        let messages = shorten(["1 error\n\t* bad s.token1 \u{1b}[31m", &long], &["s.token1"]);
        assert_eq!(messages.first().map(String::as_str), Some("1 error * bad [redacted] [31m"));
        assert_eq!(messages.get(1).map(|message| message.chars().count()), Some(MAX_MESSAGE + 1));
        assert_eq!(shorten(vec!["a"; 100], &[]).len(), MAX_MESSAGES);
    }

    #[test]
    fn a_missing_permission_names_the_line_to_add() {
        let error = VaultError::PermissionDenied {
            method: "POST".into(),
            path: "transit/keys/a.b".into(),
            line: r#"path "transit/keys/+" { capabilities = ["create"] }"#.into(),
        };
        assert_eq!(error.reason(), Reason::VaultPermissionDenied);
        assert!(error.next_step().contains(r#"path "transit/keys/+" { capabilities = ["create"] }"#));
    }
}
