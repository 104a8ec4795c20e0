//! Finds the Channel's Secrets: those that it owns, and those that lost their owner reference but provably belong to
//! it. The latter get their owner back, so that renewals and withdrawals reach them.

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use subrosa_crds::Reason;
use subrosa_plan::{
    channel::ownership,
    record::channel::ChannelRecord,
    world::{fault::Fault, objects as labels},
};

use super::Work;
use crate::{
    execute::{
        certificate::{self, Slot},
        objects::{self, FoundObject},
    },
    pki,
};

impl Work<'_> {
    /// The Secret that is written for the Channel.
    ///
    /// # Errors
    /// When it belongs to somebody else, or the request to the API server fails.
    pub(super) async fn slot(&mut self, record: Option<&ChannelRecord>) -> Result<Slot, Fault> {
        let (name, uid) = (&self.plan.secret_name, self.uid().to_owned());
        match objects::find(&self.secrets, name, |secret| objects::owned_by(secret, &uid)).await? {
            FoundObject::None => Ok(Slot::Empty),
            FoundObject::Ours(secret) => Ok(Slot::Ours(secret)),
            FoundObject::Foreign(secret) => match self.claim(*secret, record).await? {
                Some(secret) => Ok(Slot::Ours(Box::new(secret))),
                None => Err(objects::foreign("Secret", &self.name().namespace, name)),
            },
        }
    }

    /// The Secret, if it is the Channel's; restores its owner reference where that was lost.
    ///
    /// # Errors
    /// When the API server refuses.
    pub(super) async fn claim(
        &mut self,
        secret: Secret,
        record: Option<&ChannelRecord>,
    ) -> Result<Option<Secret>, Fault> {
        let uid = self.channel.uid();
        match ownership::owner(&secret.metadata, &self.name().name, uid) {
            ownership::Owner::Channel => return Ok(Some(secret)),
            ownership::Owner::Other => return Ok(None),
            ownership::Owner::Nobody => {}
        }
        let recorded = record.map(|record| pki::authority::recorded(&record.authority, &self.plan.authority));
        let observed = certificate::observe(&secret, &recorded.unwrap_or_default());
        let id = self.plan.authority.spiffe_id();
        let (true, Some(owner)) = (
            ownership::is_lost_secret(&secret, &observed, &id, &self.name().name, uid),
            labels::owner(self.channel),
        ) else {
            return Ok(None);
        };
        let taken = objects::take_back(&self.secrets, &secret, owner).await?;
        let note = format!("Secret {} had lost its owner and is this Channel's again", secret.name_any());
        self.news.push((Reason::TakenBack, note));
        Ok(Some(taken))
    }
}
