//! Taking away: trust, access, closed connections, objects under old names.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    ResourceExt as _,
    api::{DeleteParams, ListParams},
};
use subrosa_crds::CHANNEL_LABEL;
use subrosa_plan::{
    certificate::ObservedSecret,
    channel::{Plan, Scope},
    connection::Connection,
    extra_trust::ExtraTrust,
    fault::Fault,
    ledger::Ledger,
    selector, trust,
};

use super::{Authorities, Work, later, peers};
use crate::{
    execute::{
        access,
        certificate::{self, Leaf, Slot},
        objects,
    },
    observe::ledgers::Entry,
};

impl Work<'_> {
    /// Takes away trust and access that should not be any more. Both are tried, whatever becomes of one.
    pub(super) async fn withdraw(
        &mut self,
        entry: &Entry,
        slot: &Result<Slot, Fault>,
        authorities: &Authorities,
    ) -> Result<(), Fault> {
        let Some(ledger) = &entry.ledger else { return Ok(()) };
        let trust = match slot {
            Ok(Slot::Ours(secret)) => self.withdraw_trust(self.plan, Some(ledger), secret, authorities).await,
            Ok(Slot::Empty) => Ok(()),
            // Someone else has the declared name: what is mounted may be under the one before.
            Err(_) => self.withdraw_held_trust(ledger, authorities).await,
        };
        let access = self.withdraw_access(ledger).await;
        trust.and(access)
    }

    /// Takes away trust as far as that is known while Vault does not answer.
    pub(super) async fn withdraw_known_trust(&mut self, ledger: Option<&Ledger>) {
        let withdrawn = match certificate::read(&self.secrets, self.channel, self.name, self.plan).await {
            Ok(Slot::Ours(secret)) => self.narrow_trust(self.plan, ledger, &secret).await,
            Ok(Slot::Empty) => Ok(()),
            Err(_) => match self.held_elsewhere().await {
                Ok(Some((plan, secret))) => self.narrow_trust(&plan, ledger, &secret).await,
                Ok(None) => Ok(()),
                Err(fault) => Err(fault),
            },
        };
        if let Err(fault) = withdrawn {
            tracing::warn!(channel = %self.name, reason = fault.reason, "{}", fault.message);
        }
    }

    /// Takes away trust from the Secret that the Channel has under another name than it declares.
    async fn withdraw_held_trust(&mut self, ledger: &Ledger, authorities: &Authorities) -> Result<(), Fault> {
        match self.held_elsewhere().await? {
            Some((plan, secret)) => self.withdraw_trust(&plan, Some(ledger), &secret, authorities).await,
            None => Ok(()),
        }
    }

    /// The Secret that the Channel has under another name than it declares, and a plan with that name.
    async fn held_elsewhere(&self) -> Result<Option<(Plan, Box<Secret>)>, Fault> {
        let declared = &self.plan.secret_name;
        let held = certificate::held(&self.secrets, self.channel, self.name, declared.clone()).await;
        if held == *declared {
            return Ok(None);
        }
        let plan = Plan { secret_name: held, ..self.plan.clone() };
        match certificate::read(&self.secrets, self.channel, self.name, &plan).await? {
            Slot::Ours(secret) => Ok(Some((plan, secret))),
            Slot::Empty => Ok(None),
        }
    }

    async fn narrow_trust(
        &mut self,
        plan: &Plan,
        ledger: Option<&Ledger>,
        secret: &Secret,
    ) -> Result<(), Fault> {
        let ObservedSecret::Present(found) = certificate::observe(secret, &[]) else { return Ok(()) };
        let authorities = peers::last_known_authorities(self.ctx, self.vault, self.plan, &found.trust);
        self.withdraw_trust(plan, ledger, secret, &authorities).await
    }

    /// Rewrites the trust files where they trust more than they should. Nothing new is trusted by it:
    /// that waits until the ledger has noted it as open.
    async fn withdraw_trust(
        &mut self,
        plan: &Plan,
        ledger: Option<&Ledger>,
        secret: &Secret,
        authorities: &Authorities,
    ) -> Result<(), Fault> {
        let ObservedSecret::Present(found) = certificate::observe(secret, &[]) else { return Ok(()) };
        let wanted = self.trust(&self.plan.connections, &self.plan.extra_trust, authorities);
        if !trust::exceeds(&found.trust, wanted.files()) {
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
        certificate::write(&self.secrets, self.channel, self.name, plan, Leaf::Kept(secret), &kept).await?;
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
                    access::grant(self.vault, &self.plan.id, wanted, false).await?;
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

    /// Removes Secrets that this Channel owns under a name it does not use any more.
    pub(super) async fn prune(&self) {
        let Some(uid) = self.channel.metadata.uid.as_deref() else { return };
        // Only a changed secretName leaves one behind, and that is seen in the status before.
        let Some(status) = &self.channel.status else { return };
        let before = status.certificate.as_ref();
        if before.is_some_and(|before| before.secret_name.as_ref() == Some(&self.plan.secret_name)) {
            return;
        }
        let labelled = ListParams::default().labels(&format!("{CHANNEL_LABEL}={}", self.name.name));
        let found = match self.secrets.list_metadata(&labelled).await {
            Ok(found) => found.items,
            Err(error) => {
                tracing::warn!(channel = %self.name, %error, "unused Secrets could not be listed");
                return;
            }
        };
        let unused = |name: &str| name != self.plan.secret_name;
        for secret in found.iter().filter(|one| unused(&one.name_any()) && objects::owned_by(*one, uid)) {
            let name = secret.name_any();
            if let Err(error) = self.secrets.delete(&name, &DeleteParams::default()).await {
                tracing::warn!(channel = %self.name, secret = name, %error, "an unused Secret could not be removed");
            }
        }
    }
}
