//! What was carried out and seen of a Channel's plan.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use subrosa_crds::names::ChannelRef;

use crate::{
    certificate::{CurrentCertificate, Observation},
    keys::ObservedKey,
    record::channel::ChannelRecord,
    world::fault::Fault,
};

/// What was carried out and seen of a Channel's plan. Only this can make it Ready.
#[derive(Clone)]
pub struct Applied {
    /// The record as it was last written.
    pub record: Result<ChannelRecord, Fault>,
    /// The certificate that pods mount, as it was seen.
    pub observed: Observation,
    /// What keeps the certificate that should be there from being there.
    pub certificate: Result<(), Fault>,
    /// What the authority waits for, where it is blocked.
    pub authority: Result<(), Fault>,
    /// The keys as Vault has them.
    pub keys: Result<BTreeMap<String, ObservedKey>, Fault>,
    /// The workload's identity in Vault.
    pub access: Result<(), Fault>,
    /// The network policy; `Ok(false)` where it is not to be written.
    pub network: Result<bool, Fault>,
    /// Whether the namespace denies by default.
    pub default_deny: bool,
    /// The peers whose authority is in the trust files.
    pub trusting: BTreeSet<ChannelRef>,
    /// The restart for a renewed certificate.
    pub restart: Restart,
}

impl Applied {
    /// The certificate that pods should present: the one they mount, where it is a good one. Nothing while the record
    /// is not known, which has the authorities to compare with.
    pub fn presented(&self) -> Option<&CurrentCertificate> {
        self.observed.held().filter(|held| self.record.is_ok() && held.is_usable())
    }

    /// The first thing that could not be put in force.
    pub fn fault(&self) -> Option<&Fault> {
        let Self {
            record,
            observed: _,
            certificate,
            authority,
            keys,
            access,
            network,
            default_deny: _,
            trusting: _,
            restart: _,
        } = self;
        record
            .as_ref()
            .err()
            .or_else(|| network.as_ref().err())
            .or_else(|| authority.as_ref().err())
            .or_else(|| certificate.as_ref().err())
            .or_else(|| keys.as_ref().err())
            .or_else(|| access.as_ref().err())
    }
}

/// How far a restart is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Restart {
    /// None is needed, or none is asked for.
    #[default]
    NotDue,
    /// The workload was told; its pods are replaced in turn.
    UnderWay,
    /// It waits.
    Held(RestartHold),
}

/// Why a restart waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestartHold {
    /// What for.
    pub by: HeldBy,
    /// The same as a sentence, with the next step.
    pub message: String,
    /// When it waits no longer; none where somebody has to do something.
    pub until: Option<Timestamp>,
}

/// What a restart waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldBy {
    /// Something that a person set, or a PodDisruptionBudget; or the API server does not answer.
    InTheWay,
    /// A rollout that is under way.
    Rollout,
    /// Pods that are not ready, for another reason than a certificate that ended.
    Unready,
}

impl HeldBy {
    /// The reason of the condition Served.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::InTheWay => "RestartHeld",
            Self::Rollout => "RestartAwaitsRollout",
            Self::Unready => "RestartAwaitsPods",
        }
    }
}

impl RestartHold {
    /// Held by something that does not end by itself.
    pub fn in_the_way(message: impl Into<String>) -> Self {
        Self { by: HeldBy::InTheWay, message: message.into(), until: None }
    }
}
