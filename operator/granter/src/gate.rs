//! Keeps a round from giving what an AccessRevocation has taken meanwhile.
//!
//! A round decides by the AccessRevocations that it found when it began. Whatever gives somebody something [passes](Since::pass) here
//! first, and leaves out what came since. A revocation [waits](GivingGate::settle) for the writes under way, not for the round, and takes
//! away afterwards: each later write knows it.

use std::{collections::BTreeSet, sync::Arc};

use kube::{Resource as _, ResourceExt as _};
use subrosa_crds::{AccessRevocation, AccessRole};
use subrosa_plan::{record::revocations::RevocationsRecord, roles::revoked::StandingRevocations};
use tokio::sync::{RwLock, RwLockReadGuard};

use crate::view::ClusterView;

/// Which writes are under way.
#[derive(Debug, Default)]
pub struct GivingGate(RwLock<()>);

impl GivingGate {
    /// Waits until every write that began before is answered. Those that come later wait as long.
    pub async fn settle(&self) {
        drop(self.0.write().await);
    }
}

/// What came since a round began, in one trust domain.
pub struct Since<'a> {
    gate: &'a GivingGate,
    view: &'a ClusterView,
    domain: String,
    known: BTreeSet<String>,
}

impl<'a> Since<'a> {
    /// Since `known` was all that was there.
    pub fn new(
        gate: &'a GivingGate,
        view: &'a ClusterView,
        domain: String,
        known: &[Arc<AccessRevocation>],
    ) -> Self {
        let known = known.iter().filter_map(|one| one.uid()).collect();
        Self { gate, view, domain, known }
    }

    /// Lets one write begin, which has to leave out what is new.
    pub async fn pass(&self) -> Pass<'_> {
        let writing = self.gate.0.read().await;
        let mut new = self.view.revocations.state();
        new.retain(|one| one.meta().uid.as_ref().is_some_and(|uid| !self.known.contains(uid)));
        Pass { _writing: writing, domain: &self.domain, new }
    }
}

/// A write that is under way until this is dropped.
pub struct Pass<'a> {
    _writing: RwLockReadGuard<'a, ()>,
    domain: &'a str,
    new: Vec<Arc<AccessRevocation>>,
}

impl Pass<'_> {
    /// Whether there is nothing new.
    pub fn is_as_before(&self) -> bool {
        self.new.is_empty()
    }

    /// `role` without the groups that are named now; none where it gives nothing now.
    pub fn left_of(&self, role: &AccessRole) -> Option<AccessRole> {
        let standing = self.standing();
        let is_withheld = !standing.withheld([role]).is_empty();
        (!is_withheld).then(|| standing.without(role).unwrap_or_else(|| role.clone()))
    }

    /// Whether somebody of that name is named now.
    pub fn has_person(&self, user: &str) -> bool {
        self.standing().has_person(user)
    }

    fn standing(&self) -> StandingRevocations<'_> {
        let new = self.new.iter().map(AsRef::as_ref);
        StandingRevocations::of(self.domain, new, &RevocationsRecord::default())
    }
}
