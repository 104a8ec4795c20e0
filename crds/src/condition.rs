//! Conditions: the state of an object, since when, and why.
//!
//! Source: Kubernetes API conventions, "Typical status properties", and kstatus: `Reconciling` and `Stalled` exist
//! only while they are true.

use jiff::Timestamp;
pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::reason::Reason;

/// Every control this side can put in force is in force.
pub const READY: &str = "Ready";
/// Work towards the spec is under way.
pub const RECONCILING: &str = "Reconciling";
/// Nothing more will happen until someone changes something.
pub const STALLED: &str = "Stalled";
/// Names are missing in the certificate that it has later.
pub const ISSUING: &str = "Issuing";
/// Everything that is to be trusted fits into the Secret.
pub const TRUST_FITS: &str = "TrustFits";
/// Every declared connection is open.
pub const CONNECTED: &str = "Connected";
/// Probes saw the current certificate on every ready pod.
pub const SERVED: &str = "Served";
/// Only declared peers reach the workload.
pub const ISOLATED: &str = "Isolated";
/// Every key of every data class exists and rotates.
pub const KEYS_READY: &str = "KeysReady";
/// Every data class has keys, due dates and no conflict.
pub const RETAINED: &str = "Retained";
/// Every volume of a Channel with backups was backed up in time, and a restore of that was verified.
pub const BACKED_UP: &str = "BackedUp";
/// Vault answers, is unsealed and lets the operator in.
pub const VAULT_REACHABLE: &str = "VaultReachable";
/// The admission policies are in place and unedited.
pub const GUARDED: &str = "Guarded";
/// No key whose Channel is gone has a fault that is known.
pub const KEYS_INTACT: &str = "KeysIntact";
/// What `subrosa vault-setup` wrote is what this release needs.
pub const SETUP_CURRENT: &str = "SetupCurrent";
/// Every record of a Channel that is gone can be read.
pub const RECORDS_READABLE: &str = "RecordsReadable";
/// The agreements an ExternalParty needs are valid today.
pub const AGREEMENTS_VALID: &str = "AgreementsValid";

/// Enough people approved, and nobody denies.
pub const APPROVED: &str = "Approved";
/// Keys of a Destruction are kept by a LegalHold.
pub const HELD: &str = "Held";
/// Every key that a LegalHold names is kept from destruction.
pub const EFFECTIVE: &str = "Effective";

/// The groups of an AccessRole may read the Channels that it names, in Kubernetes.
pub const BOUND: &str = "Bound";

/// Somebody who may grant each Channel of an AccessRole gives it.
pub const GIVEN: &str = "Given";

/// An AccessRole gives nothing until somebody reviews it; only while true.
pub const SUSPENDED: &str = "Suspended";

/// Break-glass of an AccessRole is prepared, and every use that was seen is reviewed.
pub const BREAK_GLASS: &str = "BreakGlass";

/// A condition's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// It is so, and the operator made it or saw it.
    True,
    /// It is not so.
    False,
    /// The operator cannot tell.
    Unknown,
}

impl Truth {
    /// As the API writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// What a condition should say, before it is known since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The condition's type, such as [`READY`].
    pub kind: &'static str,
    /// Its status.
    pub truth: Truth,
    /// Why, as one word.
    pub reason: Reason,
    /// A sentence for people: what is so and what to do next.
    pub message: String,
}

impl Verdict {
    /// A verdict of type `kind`.
    pub fn new(kind: &'static str, truth: Truth, reason: Reason, message: impl Into<String>) -> Self {
        Self { kind, truth, reason, message: message.into() }
    }
}

/// The most a condition's message may hold (Kubernetes API: `metav1.Condition`).
const MESSAGE_LIMIT: usize = 4096;

/// Turns verdicts into conditions; a condition whose status did not change keeps its transition time.
pub fn conditions(
    verdicts: Vec<Verdict>,
    old: &[Condition],
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    verdicts
        .into_iter()
        .map(|verdict| {
            let since = old
                .iter()
                .find(|old| old.type_ == verdict.kind && old.status == verdict.truth.as_str())
                .map_or(Time(whole_seconds(now)), |old| old.last_transition_time.clone());
            Condition {
                type_: verdict.kind.to_owned(),
                status: verdict.truth.as_str().to_owned(),
                reason: verdict.reason.as_str().to_owned(),
                message: truncate(verdict.message),
                observed_generation: generation,
                last_transition_time: since,
            }
        })
        .collect()
}

/// The condition of type `kind`.
pub fn find<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == kind)
}

/// Whether the condition of type `kind` is there and true.
pub fn is_true(conditions: &[Condition], kind: &str) -> bool {
    find(conditions, kind).is_some_and(|condition| condition.status == "True")
}

/// Whether a condition of `conditions` needs someone's attention.
pub fn needs_attention(conditions: &[Condition]) -> bool {
    conditions.iter().any(|found| match found.type_.as_str() {
        READY | CONNECTED | SERVED | ISOLATED | KEYS_READY | RETAINED | BACKED_UP => found.status == "False",
        STALLED => found.status == "True",
        _ => false,
    })
}

// The API server stores whole seconds; a fraction would look like a change next time.
fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

fn truncate(mut message: String) -> String {
    if message.len() > MESSAGE_LIMIT {
        let mut end = MESSAGE_LIMIT - '…'.len_utf8();
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        message.truncate(end);
        message.push('…');
    }
    message
}
