//! What was carried out and seen of a Channel's plan.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use subrosa_crds::{Reason, names::ChannelRef};

use crate::{
    certificate::{CurrentCertificate, Observation, authority::PendingName},
    keys::ObservedKey,
    record::channel::ChannelRecord,
    world::fault::Fault,
};

/// Something that is put in force for a Channel, in the order in which faults are told: what a fault of an earlier one
/// holds up comes later.
///
/// A new control gets a line here, one in [`Control::ALL`] and one where the plan is carried out; status and everything
/// that is said while nothing can be made follow by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Control {
    /// The network policy.
    Network,
    /// The certificate authority: a fault is what it waits for.
    Authority,
    /// The certificate that should be in the Secret, or the answers to the pods that ask for theirs.
    Certificate,
    /// The data keys in Vault.
    Keys,
    /// The workload's identity in Vault.
    Access,
    /// The ConfigMap that tells the workload how to seal.
    Settings,
}

impl Control {
    /// Every control.
    pub const ALL: [Self; 6] =
        [Self::Network, Self::Authority, Self::Certificate, Self::Keys, Self::Access, Self::Settings];
}

/// What became of each control: in force, or what keeps it from being so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Controls(BTreeMap<Control, Result<(), Fault>>);

impl Controls {
    /// What `became` says of each control.
    pub fn each(mut became: impl FnMut(Control) -> Result<(), Fault>) -> Self {
        Self(Control::ALL.into_iter().map(|control| (control, became(control))).collect())
    }

    /// No control is in force, for one and the same reason.
    pub fn none(fault: &Fault) -> Self {
        Self::each(|_| Err(fault.clone()))
    }

    /// The same with what became of `control`.
    #[must_use]
    pub fn with(mut self, control: Control, became: Result<(), Fault>) -> Self {
        self.0.insert(control, became);
        self
    }

    /// What keeps `control` from being in force.
    pub fn fault(&self, control: Control) -> Option<&Fault> {
        self.0.get(&control)?.as_ref().err()
    }

    /// The first control's fault that has one.
    pub fn first_fault(&self) -> Option<&Fault> {
        self.faults().next()
    }

    fn faults(&self) -> impl Iterator<Item = &Fault> {
        self.0.values().filter_map(|became| became.as_ref().err())
    }
}

/// What was carried out and seen of a Channel's plan. Only this can make it Ready.
#[derive(Clone)]
pub struct Applied {
    /// The record as it was last written.
    pub record: Result<ChannelRecord, Fault>,
    /// The certificate that pods mount, as it was seen.
    pub observed: Observation,
    /// What became of each control.
    pub controls: Controls,
    /// Names that the certificate has only once another generation of the authority signs; nothing where that is not
    /// known.
    pub pending: Option<Vec<PendingName>>,
    /// The keys as Vault has them, by name; empty where that could not be asked.
    pub keys: BTreeMap<String, ObservedKey>,
    /// Whether the network policy is there: it is not written in `Audit`.
    pub has_policy: bool,
    /// Whether the namespace denies by default.
    pub default_deny: bool,
    /// How many bytes the trust files have; nothing where that is not known.
    pub trust_bytes: Option<usize>,
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
        self.record.as_ref().err().or_else(|| self.controls.first_fault())
    }

    /// Whether the API server has another Channel, or none, where this one was seen: then what was found out here is
    /// nobody's status.
    pub fn is_outdated(&self) -> bool {
        let faults = self.record.as_ref().err().into_iter().chain(self.controls.faults());
        faults.into_iter().any(|fault| fault.reason == Reason::ViewOutdated)
    }

    /// The keys as Vault has them; none where Vault did not say.
    pub fn seen_keys(&self) -> Option<&BTreeMap<String, ObservedKey>> {
        self.controls.fault(Control::Keys).is_none().then_some(&self.keys)
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
    pub fn reason(self) -> Reason {
        match self {
            Self::InTheWay => Reason::RestartHeld,
            Self::Rollout => Reason::RestartAwaitsRollout,
            Self::Unready => Reason::RestartAwaitsPods,
        }
    }
}

impl RestartHold {
    /// Held by something that does not end by itself.
    pub fn in_the_way(message: impl Into<String>) -> Self {
        Self { by: HeldBy::InTheWay, message: message.into(), until: None }
    }
}
