//! Carries out Adoptions: a Channel adopts the data keys of an earlier Channel of its name, once enough people
//! approved.
//!
//! Two records are written by compare-and-set in the order given by [the plan](subrosa_plan::adoption). After a crash
//! in between, the next look continues from the records. Then the Channel is woken and grants its workload access.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use futures::{FutureExt as _, StreamExt as _, stream};
use jiff::Timestamp;
use kube::{Api, ResourceExt as _};
use subrosa_crds::{
    Adoption, Approval, Channel, Reason, TrustDomain,
    adoption::{AdoptingChannel, AdoptionOutcome},
    approval::{Decision, TargetKind},
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
    record::{adoption::AdoptionMark, channel::Access},
    roles::revoked::RevokedPeople,
    status::trust_domain::Guards,
    world::fault::Fault,
};

use super::{
    access,
    objects::{self, fault},
    slots, withdraw,
};
use crate::{
    context::Context,
    observe::{
        DomainVault, asked, due_keys,
        vaults::{self, AdoptionLooks},
    },
    subject::Subject,
};

/// How often open Adoptions and Approvals of them are read.
const LOOK_EVERY: Duration = Duration::from_secs(15);
/// How often the Channels of an Adoption that waits for approval are checked.
const JUDGE_EVERY: Duration = Duration::from_secs(600);
/// The limit of Channels of one Adoption in progress.
const AT_ONCE: usize = 4;
/// How often the Channels of a finished Adoption are checked, because an adoption may be lost, for example by a
/// restore of Vault.
const AGAIN_EVERY: Duration = Duration::from_secs(3600);
/// The states of a finished Adoption, which only a denial changes.
const DONE: [Reason; 3] = [Reason::Adopted, Reason::PartlyAdopted, Reason::Refused];
/// Selects the denials of Adoptions.
const DENIALS: &str = "spec.target.kind=Adoption,spec.decision=Deny";

/// Reads the open Adoptions of a trust domain and carries out those that are approved.
///
/// # Errors
/// When a request to Vault or the API server fails.
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
    let all = looks.all.is_none_or(|last| last.elapsed() >= AGAIN_EVERY);
    let found: Vec<_> =
        found(ctx, all).await?.into_iter().filter(|one| one.spec.trust_domain == name).collect();
    let uids: BTreeSet<_> = found.iter().filter_map(|one| one.uid()).collect();
    looks.judged.retain(|uid, _| uids.contains(uid));
    looks.listed = Some(Instant::now());
    if all {
        looks.all = looks.listed;
    }
    for adoption in &found {
        // A failure to write one status does not stop the other Adoptions.
        if let Err(fault) = look_at(ctx, &name, vault, adoption, guarded, all, &mut looks).await {
            let adoption = adoption.name_any();
            tracing::warn!(domain = name, adoption, reason = fault.reason.as_str(), "{}", fault.message);
        }
    }
    Ok(())
}

/// The Adoptions to work on, including denied ones; every Adoption where `all` is set.
async fn found(ctx: &Context, all: bool) -> Result<Vec<Adoption>, Fault> {
    if all {
        return list(ctx, "").await;
    }
    let open = DONE.map(|state| format!("status.state!={}", state.as_str())).join(",");
    let mut found = list(ctx, &open).await?;
    found.retain(|one| !is_done(one));
    let denials = objects::selected(&Api::<Approval>::all(ctx.client.clone()), DENIALS).await;
    let denials = denials.map_err(|error| fault("listing Approvals", &error))?;
    let counts = |one: &&Approval| {
        let spec = &one.spec;
        (spec.target.kind, spec.decision) == (TargetKind::Adoption, Decision::Deny)
            && spec.expires.parse::<Timestamp>().is_ok_and(|expires| expires > ctx.now())
    };
    let denied: BTreeSet<_> =
        denials.iter().filter(counts).map(|one| one.spec.target.name.as_str()).collect();
    for name in denied {
        if found.iter().all(|one| one.name_any() != name) {
            let named = list(ctx, &format!("metadata.name={name}")).await?;
            found.extend(named.into_iter().filter(|one| one.name_any() == name));
        }
    }
    Ok(found)
}

async fn list(ctx: &Context, fields: &str) -> Result<Vec<Adoption>, Fault> {
    let found = objects::selected(&Api::<Adoption>::all(ctx.client.clone()), fields).await;
    found.map_err(|error| fault("listing Adoptions", &error))
}

async fn look_at(
    ctx: &Context,
    domain: &str,
    vault: &DomainVault,
    adoption: &Adoption,
    guarded: &Guards,
    all: bool,
    looks: &mut AdoptionLooks,
) -> Result<(), Fault> {
    let uid = adoption.uid().unwrap_or_default();
    let decided = decided(ctx, domain, adoption, guarded).await?;
    let is_same =
        |(last, denied): &(Instant, bool)| last.elapsed() < JUDGE_EVERY && *denied == decided.is_denied();
    let waits = looks.judged.get(&uid).is_some_and(is_same) && !(all && is_done(adoption));
    let channels = if waits && !decided.may(ctx.now()) {
        None
    } else {
        let (channels, left) = work(ctx, domain, vault, adoption, &decided).await;
        if left {
            looks.judged.remove(&uid);
            looks.all = looks.all.filter(|_| !all);
        } else {
            looks.judged.insert(uid, (Instant::now(), decided.is_denied()));
        }
        Some(channels)
    };
    let status = status::status(adoption, channels, &decided, ctx.now());
    let written = ctx.reporter.status(adoption, adoption.status.as_ref(), &status).await;
    written.map(drop).map_err(|error| fault("writing the status of an Adoption", &error))
}

fn is_done(adoption: &Adoption) -> bool {
    let state = adoption.status.as_ref().and_then(|status| status.state.as_deref());
    DONE.iter().any(|done| Some(done.as_str()) == state)
}

/// The Approvals of an Adoption, under the current admission policies.
async fn decided(
    ctx: &Context,
    domain: &str,
    adoption: &Adoption,
    guarded: &Guards,
) -> Result<AdoptionDecision, Fault> {
    let (name, uid) = (adoption.name_any(), adoption.uid().unwrap_or_default());
    let about = format!("spec.target.name={name}");
    let approvals = objects::selected(&Api::<Approval>::all(ctx.client.clone()), &about).await;
    let mut approvals = approvals.map_err(|error| fault("listing Approvals", &error))?;
    if !approvals.is_empty() {
        let people = RevokedPeople::of(&slots::revocations(ctx).await?);
        approvals.retain(|one| people.lets_count(one));
    }
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

/// Does what can be done now for each Channel. Returns the outcomes, and whether the next look has work left.
async fn work(
    ctx: &Context,
    domain: &str,
    vault: &DomainVault,
    adoption: &Adoption,
    decided: &AdoptionDecision,
) -> (Vec<AdoptionOutcome>, bool) {
    let known = ctx.cluster.read(|world| orphans::known(domain, world));
    let work = Work { ctx, domain, vault, adoption, decided, known: &known };
    // The pairs of one adopter run one after the other, because they write the same record.
    let mut channels: BTreeMap<&str, Vec<(usize, &AdoptingChannel)>> = BTreeMap::new();
    for (place, pair) in adoption.spec.channels.iter().enumerate() {
        channels.entry(&pair.id).or_default().push((place, pair));
    }
    let mut each = Vec::with_capacity(channels.len());
    for pairs in channels.into_values() {
        each.push(work.all(pairs).boxed());
    }
    let mut told: Vec<_> = stream::iter(each).buffer_unordered(AT_ONCE).collect::<Vec<_>>().await.concat();
    told.sort_by_key(|(place, ..)| *place);
    let left = told.iter().any(|(_, _, left)| *left);
    (told.into_iter().map(|(_, outcome, _)| outcome).collect(), left)
}

/// One Adoption in progress.
struct Work<'a> {
    ctx: &'a Context,
    domain: &'a str,
    vault: &'a DomainVault,
    adoption: &'a Adoption,
    decided: &'a AdoptionDecision,
    known: &'a BTreeSet<ChannelId>,
}

/// The records of an adopter and of the earlier Channel.
struct Pair<'a> {
    pair: &'a AdoptingChannel,
    id: ChannelId,
    adopts: ChannelId,
}

/// What the records say.
struct Found {
    step: AdoptionStep,
    /// Whether anything that the Adoption did is still there.
    stands: bool,
    /// The access of the adopter's workload.
    access: Option<Access>,
}

impl Work<'_> {
    /// As [`told`](Self::told), for the pairs of one adopter, each with its index in the list.
    async fn all(&self, pairs: Vec<(usize, &AdoptingChannel)>) -> Vec<(usize, AdoptionOutcome, bool)> {
        let mut told = Vec::with_capacity(pairs.len());
        for (place, pair) in pairs {
            let (outcome, left) = self.told(pair).await;
            told.push((place, outcome, left));
        }
        told
    }

    /// Does what can be done for one pair. Returns the outcome, and whether the next look has work left.
    async fn told(&self, pair: &AdoptingChannel) -> (AdoptionOutcome, bool) {
        let (step, left) = self.one(pair).await.unwrap_or_else(|fault| (AdoptionStep::Unknown(fault), true));
        // The cache was needed until here for compare-and-set.
        if let Ok(adopts) = pair.adopts.parse() {
            self.vault.channel_records.forget(&adopts);
        }
        let before = self.adoption.status.as_ref();
        (status::outcome(&pair.adopts, &step, before, self.decided, self.ctx.now()), left)
    }

    /// Takes every step for one pair that may be taken now. Returns the remaining step, and whether it will change
    /// soon.
    async fn one(&self, pair: &AdoptingChannel) -> Result<(AdoptionStep, bool), Fault> {
        let (Ok(id), Ok(adopts)) = (pair.id.parse::<ChannelId>(), pair.adopts.parse::<ChannelId>()) else {
            let why = "id and adopts: expected two identities of Channels";
            return Ok((AdoptionStep::Refuse(Fault::new(Reason::Malformed, why)), false));
        };
        let one = Pair { pair, id, adopts };
        let Some(_working) = self.ctx.under_way.begin(&one.id) else { return Err(withdraw::under_way()) };
        let found = self.find(&one).await?;
        if self.decided.is_denied() && found.stands {
            self.take_back(&one, found.access.as_ref()).await?;
            return Ok((self.find(&one).await?.step, false));
        }
        if !self.decided.allows(&found.step, self.ctx.now()) {
            return self.in_effect(&one, found).await;
        }
        // Confirm with the API server: a delayed watch must not let an existing Channel's keys be adopted.
        let gone = asked::is_gone(&self.ctx.client, self.domain, &pair.channel(), &one.adopts).await;
        if !gone.map_err(|error| fault("asking whether the earlier Channel is gone", &error))? {
            self.ctx.refresh.soon();
            return Err(withdraw::under_way());
        }
        self.take(&one).await?;
        let found = self.find(&one).await?;
        self.in_effect(&one, found).await
    }

    /// Notes the adoption in both records, unless another was first.
    async fn take(&self, one: &Pair<'_>) -> Result<(), Fault> {
        let Pair { pair, id, adopts } = one;
        let mark = AdoptionMark {
            id: id.clone(),
            adoption: self.adoption.name_any(),
            uid: self.adoption.uid().unwrap_or_default(),
            at: self.ctx.now(),
            approved_by: self.decided.tally.valid(self.ctx.now()),
        };
        let records = &self.vault.channel_records;
        let marked = records.transaction(adopts, |earlier| plan::marked(earlier?, &mark, self.known)).await;
        let marked = marked.map_err(|error| self.vault.fault(&error))?;
        self.vault.unsettle(adopts);
        let Some(by) = marked.record.and_then(|record| record.adopted_by).filter(|by| by.id == *id) else {
            return Ok(());
        };
        let adopted = AdoptionMark { id: adopts.clone(), ..by };
        let taken = records.transaction(id, |own| plan::taken(own?, &adopted)).await;
        taken.map_err(|error| self.vault.fault(&error))?;
        tracing::info!(
            channel = %pair.channel(), %adopts, adoption = self.adoption.name_any(),
            "people approved: the Channel takes over the keys of an earlier one"
        );
        self.changed(pair);
        Ok(())
    }

    /// Undoes a denied Adoption: the access first, so that no access is left without a record.
    async fn take_back(&self, one: &Pair<'_>, access: Option<&Access>) -> Result<(), Fault> {
        let Pair { pair, id, adopts } = one;
        let uid = self.adoption.uid().unwrap_or_default();
        let taken = async {
            if let Some(access) = access {
                access::disown(self.vault, id, access, adopts).await?;
            }
            let (records, now) = (&self.vault.channel_records, self.ctx.now());
            records.transaction(id, |own| Some(plan::taken_back(own?, adopts, &uid, now))).await?;
            records.transaction(adopts, |earlier| Some(plan::unmarked(earlier?, id, &uid))).await
        };
        taken.await.map_err(|error| self.vault.fault(&error))?;
        self.vault.unsettle(adopts);
        tracing::info!(
            channel = %pair.channel(), %adopts, adoption = self.adoption.name_any(),
            "somebody denies it: the Channel opens nothing of an earlier one any more"
        );
        self.changed(pair);
        Ok(())
    }

    /// Starts a search, which finds who has the earlier Channel's keys now, and wakes the adopter, which updates its
    /// access.
    fn changed(&self, pair: &AdoptingChannel) {
        self.ctx.sweeps.ask();
        self.ctx.wake(Subject::of::<Channel>(pair.channel()));
    }

    /// Confirms the outcome in Vault: an adoption is done when the workload can open what the keys sealed.
    async fn in_effect(&self, one: &Pair<'_>, found: Found) -> Result<(AdoptionStep, bool), Fault> {
        let Pair { pair, id, adopts } = one;
        let is_done = matches!(found.step, AdoptionStep::Done | AdoptionStep::DoneBy(_));
        let Some(access) = found.access.filter(|access| is_done && access.may_open) else {
            return Ok((found.step, false));
        };
        let opens = access::opens_adopted(self.vault, id, &access, adopts).await;
        if opens.map_err(|error| self.vault.fault(&error))? {
            return Ok((found.step, false));
        }
        self.ctx.wake(Subject::of::<Channel>(pair.channel()));
        let channel = pair.channel();
        let message = format!(
            "it is noted, and Vault does not let the workload of Channel {channel} open it yet: the next look at the Channel \
             does; if this stays, see its conditions"
        );
        Ok((AdoptionStep::Wait(Fault::new(Reason::WorkUnderWay, message)), true))
    }

    async fn find(&self, one: &Pair<'_>) -> Result<Found, Fault> {
        let Pair { pair, id, adopts } = one;
        let records = &self.vault.channel_records;
        let earlier = match records.read(adopts).await {
            Ok(entry) => Ok(entry.record),
            Err(error) if error.is_unreadable() => Err(vaults::fault(&error).message),
            Err(error) => return Err(self.vault.fault(&error)),
        };
        let own = records.read(id).await.map_err(|error| self.vault.fault(&error))?.record;
        let facts = AdoptionFacts {
            domain: self.domain,
            uid: self.adoption.metadata.uid.as_deref().unwrap_or_default(),
            pair,
            earlier: earlier.as_ref().map(Option::as_ref).map_err(String::as_str),
            own: own.as_ref(),
            known: self.known,
        };
        let step = self.ctx.cluster.read(|world| plan::step(&facts, world));
        let stands = plan::stands(&facts);
        Ok(Found { step, stands, access: own.and_then(|own| own.access) })
    }
}
