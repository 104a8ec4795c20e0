//! Taking away: trust, access, closed connections, objects under old names.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use subrosa_plan::{
    certificate::{ObservedSecret, trust_sources},
    channel::Scope,
    consent::{connection::Connection, extra_trust::ExtraTrust},
    record::ledger::Ledger,
    world::{fault::Fault, selector},
};
use subrosa_records::channels::Entry;

use super::{Authorities, Work, later, peers};
use crate::execute::{
    access,
    certificate::{self, Leaf, Slot},
};

impl Work<'_> {
    /// Takes away trust and access that should not be any more. Both are tried, whatever becomes of one.
    pub(super) async fn withdraw(
        &mut self,
        entry: &Entry,
        slot: &Result<Slot, Fault>,
        authorities: &Authorities,
    ) -> Result<(), Fault> {
        let Some(ledger) = &entry.record else { return Ok(()) };
        let trust = match slot {
            Ok(Slot::Ours(secret)) => self.withdraw_trust(Some(ledger), secret, authorities).await,
            // Someone else has the declared name, or nobody: what is mounted may be under another.
            Ok(Slot::Empty) | Err(_) => Ok(()),
        };
        let elsewhere = self.withdraw_elsewhere(ledger, authorities).await;
        let access = self.withdraw_access(ledger).await;
        trust.and(elsewhere).and(access)
    }

    /// Takes away trust as far as that is known while Vault does not answer.
    pub(super) async fn withdraw_known_trust(&mut self, ledger: Option<&Ledger>) {
        let mut held = Vec::new();
        match self.slot(ledger).await {
            Ok(Slot::Ours(secret)) => held.push(*secret),
            Ok(Slot::Empty) => {}
            Err(fault) => self.warn(&fault),
        }
        match self.others(ledger).await {
            Ok(others) => held.extend(others),
            Err(fault) => self.warn(&fault),
        }
        for secret in held {
            if let Err(fault) = self.narrow_trust(ledger, &secret).await {
                self.warn(&fault);
            }
        }
    }

    pub(super) fn warn(&self, fault: &Fault) {
        tracing::warn!(channel = %self.name, reason = fault.reason, "{}", fault.message);
    }

    async fn narrow_trust(&mut self, ledger: Option<&Ledger>, secret: &Secret) -> Result<(), Fault> {
        let ObservedSecret::Present(found) = certificate::observe(secret, &[]) else { return Ok(()) };
        let authorities = peers::last_known_authorities(self.ctx, self.vault, self.plan, &found.trust);
        self.withdraw_trust(ledger, secret, &authorities).await
    }

    /// Rewrites the trust files where they trust more than they should. Nothing new is trusted by it:
    /// that waits until the ledger has noted it as open.
    pub(super) async fn withdraw_trust(
        &mut self,
        ledger: Option<&Ledger>,
        secret: &Secret,
        authorities: &Authorities,
    ) -> Result<(), Fault> {
        let ObservedSecret::Present(found) = certificate::observe(secret, &[]) else { return Ok(()) };
        let wanted = self.trust(&self.plan.connections, &self.plan.extra_trust, authorities);
        if !trust_sources::exceeds(&found.trust, wanted.files()) {
            return Ok(());
        }
        let noted =
            |connection: &Connection| ledger.is_none_or(|ledger| ledger.open.contains(&connection.key()));
        let extra = |one: &ExtraTrust| ledger.is_none_or(|ledger| ledger.extra_trust.contains(&one.key));
        let kept = self.trust(
            self.plan.connections.iter().filter(|one| noted(one)),
            self.plan.extra_trust.iter().filter(|one| extra(one)),
            authorities,
        );
        let name = secret.name_any();
        certificate::write(&self.secrets, self.channel, self.name, &name, Leaf::Kept(secret), &kept).await?;
        self.news.push(("TrustWithdrawn", "a certificate authority left the trust files".into()));
        Ok(())
    }

    async fn withdraw_access(&mut self, ledger: &Ledger) -> Result<(), Fault> {
        // A Stalled Channel may be a bad edit: who has access keeps it.
        let Some(had) = ledger.access.as_ref().filter(|_| !matches!(self.plan.scope, Scope::Stalled(_)))
        else {
            return Ok(());
        };
        match &self.plan.access {
            Some(wanted) if wanted.service_account_uid == had.service_account_uid => {
                if had.may_open && !wanted.may_open {
                    access::grant(self.vault, &self.plan.id, wanted).await?;
                    self.news.push((
                        "OpeningWithdrawn",
                        "the workload may not open what it sealed any more".into(),
                    ));
                }
            }
            _ => {
                access::withdraw(self.vault, &self.plan.id, had).await?;
                let uid = &had.service_account_uid;
                self.news.push((
                    "AccessWithdrawn",
                    format!("the ServiceAccount with UID {uid} has no access any more"),
                ));
            }
        }
        Ok(())
    }

    /// Withdrawn connections of which nothing can still run are closed: every pod started later, or the
    /// certificate that was in use has been replaced since.
    pub(super) fn settle_closing(&mut self, ledger: &mut Ledger) {
        let workload = &self.channel.spec.workload.selector;
        let oldest = self.ctx.cluster.read(|world| {
            world
                .running_pods(&self.name.namespace)
                .filter(|(_, pod)| selector::matches(workload, &pod.labels))
                .map(|(_, pod)| pod.started.unwrap_or(Timestamp::MIN))
                .min()
        });
        let (now, life) = (self.now, self.plan.leaf.duration);
        let (closed, still): (Vec<_>, Vec<_>) = std::mem::take(&mut ledger.closing)
            .into_iter()
            .partition(|one| oldest.is_none_or(|oldest| oldest > one.since) || now > later(one.since, life));
        for one in closed {
            let note = format!("{} {} with {}", one.key.direction.as_str(), one.key.name, one.key.other);
            self.news.push(("ConnectionClosed", note));
        }
        self.wake.extend(still.iter().map(|one| later(one.since, life)));
        ledger.closing = still;
    }
}
