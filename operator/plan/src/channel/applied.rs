//! The result of carrying out a Channel's plan.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use subrosa_crds::{Reason, names::ChannelRef};

use crate::{
    certificate::{CurrentCertificate, Observation, authority::PendingName},
    keys::ObservedKey,
    record::channel::ChannelRecord,
    world::fault::Fault,
};

/// A control that is applied for a Channel. The order is that in which faults are reported: a control comes after
/// those whose faults block it.
///
/// A new control needs a line here, one in [`Control::ALL`] and one where the plan is carried out. Status and the
/// result without a record follow from that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Control {
    /// The network policy.
    Network,
    /// The certificate authority; its fault is what blocks it.
    Authority,
    /// The certificate in the Secret, or the answers to pods that request their own.
    Certificate,
    /// The data keys in Vault.
    Keys,
    /// The workload's identity in Vault.
    Access,
    /// The ConfigMap that tells the workload how to seal.
    Settings,
    /// What makes its backups.
    Backup,
}

impl Control {
    /// Every control.
    pub const ALL: [Self; 7] = [
        Self::Network,
        Self::Authority,
        Self::Certificate,
        Self::Keys,
        Self::Access,
        Self::Settings,
        Self::Backup,
    ];
}

/// The result of each control: applied, or its fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Controls(BTreeMap<Control, Result<(), Fault>>);

impl Controls {
    /// Asks `became` for the result of each control.
    pub fn each(mut became: impl FnMut(Control) -> Result<(), Fault>) -> Self {
        Self(Control::ALL.into_iter().map(|control| (control, became(control))).collect())
    }

    /// Every control with the same fault.
    pub fn none(fault: &Fault) -> Self {
        Self::each(|_| Err(fault.clone()))
    }

    /// The same with the result of `control` replaced.
    #[must_use]
    pub fn with(mut self, control: Control, became: Result<(), Fault>) -> Self {
        self.0.insert(control, became);
        self
    }

    /// The fault of `control`, if any.
    pub fn fault(&self, control: Control) -> Option<&Fault> {
        self.0.get(&control)?.as_ref().err()
    }

    /// The fault of the first control with one.
    pub fn first_fault(&self) -> Option<&Fault> {
        self.faults().next()
    }

    fn faults(&self) -> impl Iterator<Item = &Fault> {
        self.0.values().filter_map(|became| became.as_ref().err())
    }
}

/// The result of carrying out a Channel's plan. Only this can make it Ready.
#[derive(Clone)]
pub struct Applied {
    /// The last written record.
    pub record: Result<ChannelRecord, Fault>,
    /// The certificate that pods mount.
    pub observed: Observation,
    /// The result of each control.
    pub controls: Controls,
    /// Names that the certificate gets only once another generation of the authority signs; `None` where unknown.
    pub pending: Option<Vec<PendingName>>,
    /// The keys in Vault by name; empty where Vault did not answer.
    pub keys: BTreeMap<String, ObservedKey>,
    /// Whether the network policy exists; in `Audit` none is written.
    pub has_policy: bool,
    /// Whether the namespace has a default deny.
    pub default_deny: bool,
    /// The size of the trust files in bytes; `None` where unknown.
    pub trust_bytes: Option<usize>,
    /// The peers whose authority is in the trust files.
    pub trusting: BTreeSet<ChannelRef>,
    /// The restart for a renewed certificate.
    pub restart: Restart,
}

impl Applied {
    /// The certificate that pods should present: the mounted one, if it is valid. `None` without the record, which
    /// has the authorities to compare with.
    pub fn presented(&self) -> Option<&CurrentCertificate> {
        self.observed.held().filter(|held| self.record.is_ok() && held.is_usable())
    }

    /// The first fault.
    pub fn fault(&self) -> Option<&Fault> {
        self.record.as_ref().err().or_else(|| self.controls.first_fault())
    }

    /// Whether the API server has another Channel of this name or none, so that this result belongs to no status.
    pub fn is_outdated(&self) -> bool {
        let faults = self.record.as_ref().err().into_iter().chain(self.controls.faults());
        faults.into_iter().any(|fault| fault.reason == Reason::ViewOutdated)
    }

    /// The keys in Vault; `None` where Vault did not answer.
    pub fn seen_keys(&self) -> Option<&BTreeMap<String, ObservedKey>> {
        self.controls.fault(Control::Keys).is_none().then_some(&self.keys)
    }
}

/// The progress of a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Restart {
    /// None is needed or requested.
    #[default]
    NotDue,
    /// The workload was changed, and its pods are being replaced.
    UnderWay,
    /// It must wait.
    Held(RestartHold),
}

/// Why a restart waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestartHold {
    /// The cause.
    pub by: HeldBy,
    /// The message with the next step.
    pub message: String,
    /// Until when it waits; `None` where a person must act.
    pub until: Option<Timestamp>,
}

/// What a restart waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldBy {
    /// A setting by a person, a PodDisruptionBudget, or an API server that does not answer.
    InTheWay,
    /// A rollout in progress.
    Rollout,
    /// Pods that are not ready for another reason than an expired certificate.
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
    /// Delayed by something that does not end by itself.
    pub fn in_the_way(message: impl Into<String>) -> Self {
        Self { by: HeldBy::InTheWay, message: message.into(), until: None }
    }
}
