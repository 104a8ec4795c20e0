//! Adoptions: Channels take over the keys of earlier ones of their names, when enough people approved.
//!
//! Two records are written, each by compare-and-set, in the order that [the plan](subrosa_plan::adoption) says; a process that
//! ends between them goes on from what stands there. The Channel is woken then, and gives its workload access.

use std::{
    collections::BTreeSet,
    fmt::Debug,
    time::{Duration, Instant},
};

use futures::{FutureExt as _, StreamExt as _, stream};
use kube::{Api, Resource, ResourceExt as _, api::ListParams};
use serde::de::DeserializeOwned;
use subrosa_crds::{
    Adoption, Approval, Channel, Reason, TrustDomain,
    adoption::{AdoptingChannel, AdoptionOutcome},
    approval::TargetKind,
    names::ChannelId,
};
use subrosa_plan::{
    access::orphans,
    adoption::{
        self as plan, AdoptionFacts, AdoptionStep,
        status::{self, AdoptionDecision},
    },
    destruction::{
        rules,
        tally::{self, Target},
    },
    record::adoption::AdoptionMark,
    status::trust_domain::Guards,
    world::fault::Fault,
};

use super::{
    objects::{self, fault},
    withdraw,
};
use crate::{
    context::Context,
    kinds::Subject,
    observe::{
        DomainVault, asked, due_keys,
        vaults::{self, AdoptionLooks},
    },
};

/// How often Adoptions that are open, and what people say about them, are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(15);
/// How often the Channels of one are looked at that waits for people.
const JUDGE_EVERY: Duration = Duration::from_secs(600);
/// How many Channels of one are worked on at once.
const AT_ONCE: usize = 4;
/// How many objects are asked for at once.
const PAGE: u32 = 50;
/// The states of an Adoption for which nothing is ever done again.
const DONE: [Reason; 3] = [Reason::Adopted, Reason::PartlyAdopted, Reason::Refused];

/// Looks at the open Adoptions of a trust domain, and carries out what people approved.
///
/// # Errors
/// When Vault or the API server does not say, or refuses.
pub async fn look(
    ctx: &Context,
    domain: &TrustDomain,
    vault: &DomainVault,
    guarded: &Guards,
) -> Result<(), Fault> {
    let mut looks = vault.adoptions.lock().await;
    if looks.listed.is_some_and(|last| last.elapsed() < LOOK_EVERY) {
        return Ok(());
    }
    let name = domain.name_any();
    let open = DONE.map(|state| format!("status.state!={}", state.as_str())).join(",");
    let found = selected::<Adoption>(ctx, &open).await.map_err(|error| fault("listing Adoptions", &error))?;
    let found: Vec<_> =
        found.into_iter().filter(|one| one.spec.trust_domain == name && !is_done(one)).collect();
    let uids: BTreeSet<_> = found.iter().filter_map(|one| one.uid()).collect();
    looks.judged.retain(|uid, _| uids.contains(uid));
    looks.listed = Some(Instant::now());
    for adoption in &found {
        // One whose status cannot be written holds up no other.
        if let Err(fault) = look_at(ctx, &name, vault, adoption, guarded, &mut looks).await {
            let adoption = adoption.name_any();
            tracing::warn!(domain = name, adoption, reason = fault.reason.as_str(), "{}", fault.message);
        }
    }
    Ok(())
}

async fn look_at(
    ctx: &Context,
    domain: &str,
    vault: &DomainVault,
    adoption: &Adoption,
    guarded: &Guards,
    looks: &mut AdoptionLooks,
) -> Result<(), Fault> {
    let uid = adoption.uid().unwrap_or_default();
    let decided = decided(ctx, domain, adoption, guarded).await?;
    let waits = looks.judged.get(&uid).is_some_and(|last| last.elapsed() < JUDGE_EVERY);
    let channels = if waits && !decided.may(ctx.now()) {
        None
    } else {
        looks.judged.insert(uid, Instant::now());
        Some(work(ctx, domain, vault, adoption, &decided).await)
    };
    let status = status::status(adoption, channels, &decided, ctx.now());
    let written = ctx.reporter.status(adoption, adoption.status.as_ref(), &status).await;
    written.map(drop).map_err(|error| fault("writing the status of an Adoption", &error))
}

fn is_done(adoption: &Adoption) -> bool {
    let state = adoption.status.as_ref().and_then(|status| status.state.as_deref());
    DONE.iter().any(|done| Some(done.as_str()) == state)
}

/// What people say of it, under the admission policies as they are.
async fn decided(
    ctx: &Context,
    domain: &str,
    adoption: &Adoption,
    guarded: &Guards,
) -> Result<AdoptionDecision, Fault> {
    let (name, uid) = (adoption.name_any(), adoption.uid().unwrap_or_default());
    let about = format!("spec.target.name={name}");
    let approvals =
        selected::<Approval>(ctx, &about).await.map_err(|error| fault("listing Approvals", &error))?;
    let told = ctx.cluster.read(|world| due_keys::told(domain, world));
    let unguarded = match guarded {
        Guards::InPlace | Guards::SwitchedOff(_) => None,
        Guards::NotInPlace(why) => {
            let message = format!("no Approval counts while an admission policy is missing or edited: {why}");
            Some(Fault::new(Reason::GuardsEdited, message))
        }
    };
    let digest = adoption.spec.digest();
    let target = Target { kind: TargetKind::Adoption, name: &name, uid: &uid, digest: &digest };
    let guarded_since = told.as_ref().and_then(|told| told.guarded_since);
    let tally = tally::count(&approvals, &target, guarded_since, &adoption.spec.requested_by, ctx.now());
    let needed = told.map(|told| rules::strictest(told.rules.values()));
    Ok(AdoptionDecision { needed, tally, unguarded })
}

/// Does for each Channel what can be done now, and says what became of it.
async fn work(
    ctx: &Context,
    domain: &str,
    vault: &DomainVault,
    adoption: &Adoption,
    decided: &AdoptionDecision,
) -> Vec<AdoptionOutcome> {
    let known = ctx.cluster.read(|world| orphans::known(domain, world));
    let work = Work { ctx, domain, vault, adoption, decided, known: &known };
    let mut each = Vec::with_capacity(adoption.spec.channels.len());
    for pair in &adoption.spec.channels {
        each.push(work.told(pair).boxed());
    }
    stream::iter(each).buffered(AT_ONCE).collect().await
}

/// One Adoption that is carried out.
struct Work<'a> {
    ctx: &'a Context,
    domain: &'a str,
    vault: &'a DomainVault,
    adoption: &'a Adoption,
    decided: &'a AdoptionDecision,
    known: &'a BTreeSet<ChannelId>,
}

impl Work<'_> {
    /// Does what can be done for one Channel, and says what became of it.
    async fn told(&self, pair: &AdoptingChannel) -> AdoptionOutcome {
        let step = self.one(pair).await.unwrap_or_else(AdoptionStep::Wait);
        status::outcome(&pair.adopts, &step, self.decided, self.ctx.now())
    }

    /// Takes every step of one Channel that may be taken.
    async fn one(&self, pair: &AdoptingChannel) -> Result<AdoptionStep, Fault> {
        let (Ok(id), Ok(adopts)) = (pair.id.parse::<ChannelId>(), pair.adopts.parse::<ChannelId>()) else {
            return Err(Fault::new(Reason::Malformed, "id and adopts: expected two identities of Channels"));
        };
        let Some(_working) = self.ctx.under_way.begin(&id) else { return Err(withdraw::under_way()) };
        let step = self.step(pair, &id, &adopts).await?;
        if !self.decided.allows(&step, self.ctx.now()) {
            return Ok(step);
        }
        // A watch that is behind must not cost a Channel that is there its keys.
        let gone = asked::is_gone(&self.ctx.client, self.domain, &pair.channel(), &adopts).await;
        if !gone.map_err(|error| fault("asking whether the earlier Channel is gone", &error))? {
            self.ctx.refresh.soon();
            return Err(withdraw::under_way());
        }
        let mark = AdoptionMark {
            id: id.clone(),
            adoption: self.adoption.name_any(),
            uid: self.adoption.uid().unwrap_or_default(),
            at: self.ctx.now(),
            approved_by: self.decided.tally.valid(self.ctx.now()),
        };
        let records = &self.vault.channel_records;
        let marked = records.transaction(&adopts, |earlier| plan::marked(earlier?, &mark, self.known)).await;
        let marked = marked.map_err(|error| self.vault.fault(&error))?;
        self.vault.unsettle(&adopts);
        records.forget(&adopts);
        let Some(by) = marked.record.and_then(|record| record.adopted_by).filter(|by| by.id == id) else {
            // Somebody else was quicker.
            return self.step(pair, &id, &adopts).await;
        };
        let adopted = AdoptionMark { id: adopts.clone(), ..by };
        let taken = records.transaction(&id, |own| plan::taken(own?, &adopted)).await;
        taken.map_err(|error| self.vault.fault(&error))?;
        tracing::info!(
            channel = %pair.channel(), %adopts, adoption = self.adoption.name_any(),
            "people approved: the Channel takes over the keys of an earlier one"
        );
        // The search finds the earlier one adopted.
        self.ctx.sweeps.ask();
        self.ctx.wake(Subject::of::<Channel>(pair.channel()));
        self.step(pair, &id, &adopts).await
    }

    async fn step(
        &self,
        pair: &AdoptingChannel,
        id: &ChannelId,
        adopts: &ChannelId,
    ) -> Result<AdoptionStep, Fault> {
        let records = &self.vault.channel_records;
        let earlier = match records.read(adopts).await {
            Ok(entry) => Ok(entry.record),
            Err(error) if error.is_unreadable() => Err(vaults::fault(&error).message),
            Err(error) => return Err(self.vault.fault(&error)),
        };
        records.forget(adopts);
        let own = records.read(id).await.map_err(|error| self.vault.fault(&error))?.record;
        let facts = AdoptionFacts {
            domain: self.domain,
            uid: self.adoption.metadata.uid.as_deref().unwrap_or_default(),
            pair,
            earlier: earlier.as_ref().map(Option::as_ref).map_err(String::as_str),
            own: own.as_ref(),
            known: self.known,
        };
        Ok(self.ctx.cluster.read(|world| plan::step(&facts, world)))
    }
}

/// Those of a kind that a field says; all where the API server, or the definition, is from before fields could be selected by.
async fn selected<K>(ctx: &Context, fields: &str) -> kube::Result<Vec<K>>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let api = Api::<K>::all(ctx.client.clone());
    match objects::pages(&api, ListParams::default().fields(fields).limit(PAGE)).await {
        Err(kube::Error::Api(status)) if status.code == 400 => {
            objects::pages(&api, ListParams::default().limit(PAGE)).await
        }
        // The definition is not installed yet: there are none.
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Vec::new()),
        other => other,
    }
}
