//! One round: read everything, apply holds first, then continue destructions.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;
use subrosa_crds::{Destruction, LegalHold, Reason, TrustDomain};
use subrosa_plan::{
    destruction::{
        freeze,
        order::{Judged, Order, Orders},
        pace, settled,
        status::{self, HeldKeys, Outcome, Release},
        step::Released,
    },
    record::destroyer::{Begun, DestroyerRecord},
    world::fault::Fault,
};
use subrosa_process::vault::{Identity, Wiring};
use tokio::sync::Mutex;

use crate::{
    breaker,
    clocks::Watchmaker,
    cluster::{ClusterApi, GuardCheck, LookInput},
    domain::{self, Asks, DomainState, LookTerms},
    key::KeyStep,
    look::Look,
    metrics::DestroyerMetrics,
    report::{self, StatusReporter},
    resurrected::{self, FinishedWalk},
    settings::DestroyerSettings,
    survey::{DestructionUnderWay, KeySurvey},
    vault,
    vault::DestroyerVault,
};

/// The maximum age of the input when a trust domain begins.
const MOST_AGE: Duration = Duration::from_secs(20);

/// How long the keys of a blocked Destruction are not checked again.
const REST: SignedDuration = SignedDuration::from_mins(10);

/// The destroyer.
pub struct Destroyer {
    cluster: ClusterApi,
    settings: DestroyerSettings,
    guard: GuardCheck,
    clocks: Watchmaker,
    kept: Mutex<BTreeMap<String, DomainState>>,
    reporter: StatusReporter,
    metrics: Arc<DestroyerMetrics>,
}

impl Destroyer {
    /// A new destroyer.
    ///
    /// # Errors
    /// When the connection to the API server cannot be set up.
    pub fn new(config: kube::Config, settings: DestroyerSettings, guard: GuardCheck) -> anyhow::Result<Self> {
        let cluster = ClusterApi::new(config, &settings.namespace)?;
        let metrics = Arc::new(DestroyerMetrics::default());
        let reporter = StatusReporter::new(cluster.clone(), settings.pod.clone());
        let (clocks, kept) = Default::default();
        Ok(Self { cluster, settings, guard, clocks, kept, reporter, metrics })
    }

    /// The clocks.
    pub fn clocks(&self) -> &Watchmaker {
        &self.clocks
    }

    /// The metrics.
    pub fn metrics(&self) -> Arc<DestroyerMetrics> {
        Arc::clone(&self.metrics)
    }

    /// Runs one round over everything.
    pub async fn round(&self) {
        let mut seen = match self.cluster.look(&self.guard).await {
            Ok(seen) => seen,
            Err(fault) => {
                tracing::warn!(reason = fault.reason.as_str(), "{}", fault.message);
                // Before the first trust domain is known, the fault has none to belong to.
                let kept = self.kept.lock().await;
                let known = kept.keys().map(String::as_str).chain(kept.is_empty().then_some(""));
                known.for_each(|domain| self.metrics.looked(domain, Some(&fault)));
                return;
            }
        };
        self.metrics.forget("");
        let mut kept = self.kept.lock().await;
        kept.retain(|name, _| {
            let is_there = seen.domains.iter().any(|domain| domain.name_any() == *name);
            if !is_there {
                self.metrics.forget(name);
            }
            is_there
        });
        let mut holds: BTreeMap<String, HeldKeys> = BTreeMap::new();
        let mut releases: BTreeMap<String, Option<Release>> = BTreeMap::new();
        let names: Vec<_> = seen.domains.iter().map(|domain| domain.name_any()).collect();
        for (index, name) in names.into_iter().enumerate() {
            self.metrics.begins(&name);
            // The input may be too old after the trust domains before.
            let fresh = if index > 0 && seen.read_at.elapsed() > MOST_AGE {
                self.cluster.look(&self.guard).await.map(|newer| seen = newer)
            } else {
                Ok(())
            };
            let Some(domain) = seen.domains.iter().find(|domain| domain.name_any() == name) else { continue };
            self.metrics.listed(&name, seen.destructions.iter().filter(|one| one.spec.trust_domain == name));
            let looked = match fresh {
                Ok(()) => self.domain(domain, &seen, kept.entry(name.clone()).or_default()).await,
                Err(fault) => Err(fault),
            };
            let result = match looked {
                Ok(found) => {
                    for (hold, (keys, release)) in found {
                        add(holds.entry(hold.clone()).or_default(), keys);
                        // Trust domains have separate rules: a hold ends only where every one of them approves.
                        let kept = releases.entry(hold).or_insert_with(|| release.clone());
                        if release.as_ref().is_some_and(|release| !release.approved) {
                            *kept = release;
                        }
                    }
                    Ok(())
                }
                Err(fault) => {
                    tracing::warn!(domain = name, reason = fault.reason.as_str(), "{}", fault.message);
                    for hold in &seen.holds {
                        let keys = holds.entry(hold.name_any()).or_default();
                        keys.fault.get_or_insert_with(|| fault.clone());
                    }
                    Err(fault)
                }
            };
            self.metrics.looked(&name, result.as_ref().err());
        }
        self.metrics.reviews(&seen.holds, self.clocks.local());
        for hold in &seen.holds {
            let name = hold.name_any();
            let keys = holds.remove(&name).unwrap_or_default();
            let release = releases.remove(&name).flatten();
            let status = status::legal_hold(hold, &keys, release.as_ref(), self.clocks.local());
            self.reporter.hold(hold, status).await;
        }
        self.metrics.round();
    }

    /// Handles one trust domain; returns what each LegalHold holds of its keys.
    async fn domain(
        &self,
        domain: &TrustDomain,
        seen: &LookInput,
        kept: &mut DomainState,
    ) -> Result<BTreeMap<String, (HeldKeys, Option<Release>)>, Fault> {
        let vault = self.connected(domain, kept).await?;
        vault.is_own(&domain.name_any(), &seen.cluster).await?;
        let clocks = self.clocks.read(self.cluster.client(), &vault.vault).await?;
        let requester = self.settings.requester();
        let asks = Asks { seen, requester: &requester };
        let mut bound =
            kept.bind(&self.cluster, &vault, domain, asks, clocks.agreed(), self.clocks.local()).await?;
        let began = Instant::now();
        if kept.survey.as_ref().is_none_or(KeySurvey::is_due) {
            let taken = KeySurvey::take(&vault, kept.survey.as_ref(), &seen.policies).await;
            let (survey, there) = taken.map_err(|error| vault::fault(&error))?;
            kept.survey = Some(survey);
            kept.walk = FinishedWalk::From { page: None, there };
        }
        // A failure here stops nothing: LegalHolds still apply, and the next look tries again.
        let walked =
            resurrected::look(&self.cluster, &self.reporter, &vault, domain, &mut kept.walk, bound.now).await;
        if let Err(fault) = walked {
            tracing::warn!(
                domain = domain.name_any(),
                reason = fault.reason.as_str(),
                "lists that are done: {}",
                fault.message
            );
        }
        if began.elapsed() > MOST_AGE {
            let message =
                "listing every key took long: what was read before is old, and everything is read again";
            return Err(Fault::new(Reason::WorkUnderWay, message));
        }
        let contradictions = kept.contradictions(domain, seen, bound.today());
        let Some(survey) = &mut kept.survey else { return Ok(BTreeMap::new()) };
        if bound.frozen.is_none() {
            let orders = orders(domain, seen, &bound, &requester, &contradictions);
            let percent = self.settings.breaker_percent;
            if let Some((frozen, asked)) = breaker::trips(&orders, &bound, survey, percent) {
                tracing::error!(domain = domain.name_any(), reason = frozen.reason, "{}", frozen.message);
                domain::trip(&self.cluster, &vault, &domain.name_any(), &frozen, &asked).await?;
                bound.frozen = Some(freeze::told(&frozen));
                bound.record.frozen = Some(frozen);
            }
        }
        self.metrics.frozen(&domain.name_any(), bound.frozen.as_ref());
        let releases: BTreeMap<_, _> =
            seen.holds.iter().map(|hold| (hold.name_any(), domain::release(hold, asks, &bound))).collect();
        // An untrusted clock or store never ends a hold.
        let may_end = bound.frozen.is_none();
        let is_approved = |hold: &&LegalHold| {
            let release = releases.get(&hold.name_any()).and_then(Option::as_ref);
            may_end && release.is_some_and(|release| release.approved)
        };
        let released: Vec<Released> = seen
            .holds
            .iter()
            .filter(is_approved)
            .map(|hold| {
                let (name, uid) = (hold.name_any(), hold.uid().unwrap_or_default());
                Released { name, uid, digest: hold.spec.release_digest() }
            })
            .collect();
        let orders = orders(domain, seen, &bound, &requester, &contradictions);
        let mut look = Look::new(&vault, seen, &bound, &orders, &released);
        look.settle_unlisted(survey).await?;
        kept.rested.retain(|uid, _| orders.with_uid(uid).is_some());
        let orders = orders.all();
        // Start with what the last look had no time for.
        let from = orders.iter().position(|order| Some(order.uid()) == kept.cursor.as_deref()).unwrap_or(0);
        kept.cursor = None;
        for order in orders.iter().cycle().skip(from).take(orders.len()) {
            if rests(order, &kept.rested, look.now(), survey) {
                continue;
            }
            let Some((reason, people)) = self.order(domain, order, &look, survey).await? else {
                kept.rested.remove(order.uid());
                kept.cursor = Some(order.uid().to_owned());
                break;
            };
            kept.rested.insert(order.uid().to_owned(), (look.now(), reason, people));
        }
        let held = seen.holds.iter().map(|hold| {
            let name = hold.name_any();
            let release = releases.get(&name).cloned().flatten();
            (name, (look.held(hold, survey), release))
        });
        let held = held.collect();
        // This must come before any status says that a hold is in force.
        domain::count(&self.cluster, &vault, &domain.name_any(), &bound, look.now()).await?;
        Ok(held)
    }

    async fn connected(
        &self,
        domain: &TrustDomain,
        kept: &mut DomainState,
    ) -> Result<Arc<DestroyerVault>, Fault> {
        let spec = domain.spec.vault.clone();
        let ca_bundle = match &spec.ca_bundle {
            Some(key) => Some(self.cluster.bundle(key).await?),
            None => None,
        };
        let wiring = Wiring { spec, ca_bundle };
        if let Some(connection) = kept.connection.as_ref().filter(|connection| connection.is_from(&wiring)) {
            return Ok(Arc::clone(connection));
        }
        let identity = Identity {
            token: self.settings.vault_token_file.clone(),
            role: self.settings.vault_role.clone(),
            user_agent: concat!("subrosa-destroyer/", env!("CARGO_PKG_VERSION")),
        };
        let connection = Arc::new(DestroyerVault::new(domain, wiring, &identity).await?);
        kept.connection = Some(Arc::clone(&connection));
        kept.survey = None;
        Ok(connection)
    }

    /// Settles the keys of one Destruction as far as the hourly limit allows, and writes its status. `None` where the
    /// look lasts too long: the next one continues.
    async fn order(
        &self,
        domain: &TrustDomain,
        order: &Order<'_>,
        look: &Look<'_>,
        survey: &mut KeySurvey,
    ) -> Result<Option<(Reason, usize)>, Fault> {
        let before = order.destruction.status.as_ref();
        if let Some(before) = before.filter(|before| status::is_settled(before)) {
            let Some(back) = look.still_back(before, survey).await? else { return Ok(None) };
            let kept = report::snapshots_kept(domain);
            let status = settled::settled(order.destruction, before, &back, kept, look.now());
            self.reporter.destruction(order.destruction, status).await;
            return Ok(Some((Reason::Resurrected, 0)));
        }
        let keys = &order.destruction.spec.keys;
        let mut settled = Vec::with_capacity(keys.len());
        for listed in keys {
            if look.lasts_too_long() {
                return Ok(None);
            }
            settled.push(look.listed(order, listed, false, survey).await);
        }
        if settled.iter().any(|one| one.is.reason == Reason::KeyUnrecorded) {
            survey.lacks_one();
        }
        // Only now is it known how many keys would begin, and how many have passed their grace.
        let mut is_whole = true;
        for act in [Act::Begin, Act::Condemn] {
            let (mut room, at) = match settled.iter().filter(|one| act.waits(one)).count() {
                0 => continue,
                waiting => self.reserve(domain, look, order, (act, waiting), survey).await?,
            };
            for (listed, one) in keys.iter().zip(&mut settled).filter(|(_, one)| act.waits(one)) {
                if room == 0 {
                    break;
                }
                if look.lasts_too_long() {
                    is_whole = false;
                    break;
                }
                room -= 1;
                *one = look.listed(order, listed, true, survey).await;
            }
            if room > 0 {
                self.give_back(domain, look, order, act, (room, at)).await?;
            }
        }
        for (listed, one) in keys.iter().zip(&settled) {
            self.metrics.settled(one);
            report::log(&domain.name_any(), &order.destruction.name_any(), listed, one);
        }
        let outcomes: Vec<_> = keys
            .iter()
            .zip(settled)
            .map(|(key, settled)| Outcome { key, record: settled.record, is: settled.is })
            .collect();
        let status = status::destruction(order, &outcomes, report::snapshots_kept(domain), look.now());
        self.reporter.destruction(order.destruction, status).await;
        Ok(is_whole.then(|| why(order, look.now())))
    }

    /// Records how many keys of a Destruction may be set aside or condemned, before any is: a crash in between uses
    /// up part of the hour's limit instead of exceeding it.
    async fn reserve(
        &self,
        domain: &TrustDomain,
        look: &Look<'_>,
        order: &Order<'_>,
        (act, waiting): (Act, usize),
        survey: &KeySurvey,
    ) -> Result<(u64, Timestamp), Fault> {
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let all = survey.count();
        let (now, limits) = (look.now(), self.settings.limits());
        let mut room = 0;
        let change = |mut record: DestroyerRecord| {
            let done = act.done(&mut record);
            room = pace::allowance(done, limits, order.uid(), count(waiting), all, now);
            if room > 0 {
                *done = pace::with(done, order.uid(), room, now);
            }
            record
        };
        domain::change(&self.cluster, look.vault, &domain.name_any(), change).await?;
        Ok((room, now))
    }

    /// Gives back what was reserved at `at` and not used, since the look ended before.
    async fn give_back(
        &self,
        domain: &TrustDomain,
        look: &Look<'_>,
        order: &Order<'_>,
        act: Act,
        (unused, at): (u64, Timestamp),
    ) -> Result<(), Fault> {
        let change = |mut record: DestroyerRecord| {
            let done = act.done(&mut record);
            *done = pace::without(done, order.uid(), unused, at);
            record
        };
        domain::change(&self.cluster, look.vault, &domain.name_any(), change).await
    }
}

/// The acts that the hourly limit counts.
#[derive(Clone, Copy)]
enum Act {
    Begin,
    Condemn,
}

impl Act {
    /// Whether the key waits for this act.
    fn waits(self, one: &KeyStep) -> bool {
        let mark = one.record.as_ref().and_then(|record| record.destruction.as_ref());
        one.is.reason == Reason::RateLimited
            && match self {
                Self::Begin => mark.is_none(),
                Self::Condemn => mark.is_some(),
            }
    }

    fn done(self, record: &mut DestroyerRecord) -> &mut Vec<Begun> {
        match self {
            Self::Begin => &mut record.begun,
            Self::Condemn => &mut record.condemned,
        }
    }
}

/// The unfinished Destructions of the trust domain, judged.
fn orders<'a>(
    domain: &TrustDomain,
    seen: &'a LookInput,
    bound: &'a LookTerms,
    requester: &'a str,
    contradictions: &'a BTreeMap<String, Fault>,
) -> Orders<'a> {
    let of = |one: &&Destruction| one.spec.trust_domain == domain.name_any();
    let judged = seen.destructions.iter().filter(of).map(|destruction| {
        let name = &destruction.spec.retention_policy.name;
        // Only policies that the trust domain still allows count in it.
        let allowed = domain.spec.retention_policies.contains(name);
        let by = Judged {
            policy: seen.policies.get(name).filter(|_| allowed),
            contradiction: contradictions.get(name).filter(|_| allowed),
            rules: &bound.record.rules,
            approvals: &seen.approvals,
            guarded_since: bound.guarded_since,
            requester,
            today: bound.today(),
            now: bound.now,
        };
        Order::judge(destruction, by)
    });
    Orders::new(judged.collect())
}

/// Whether the keys of a Destruction need no check now: nothing is in progress, nothing may begin, and the last check
/// had the same reason with as many approvals. Thousands of keys may wait for people for weeks.
fn rests(
    order: &Order<'_>,
    rested: &BTreeMap<String, (Timestamp, Reason, usize)>,
    now: Timestamp,
    survey: &KeySurvey,
) -> bool {
    let Some((at, reason, people)) = rested.get(order.uid()) else { return false };
    let known =
        order.destruction.spec.keys.iter().filter_map(|key| survey.keys.get(&key.key_name().parse().ok()?));
    let (mut waits, mut under_way) = (true, false);
    for key in known {
        under_way |= key.under_way.is_some();
        // A key in its grace needs no check: holds and denials are seen without it.
        let in_grace =
            |one: &DestructionUnderWay| order.still_stands() && one.until.is_some_and(|until| now < until);
        waits &= key.under_way.as_ref().is_none_or(in_grace);
    }
    if !waits || now.duration_since(*at).abs() >= REST {
        return false;
    }
    let is_settled = order.destruction.status.as_ref().is_some_and(status::is_settled);
    is_settled || under_way || (!order.may_begin(now) && why(order, now) == (*reason, *people))
}

/// The reason why nothing may begin, or Approved, with the number of approvals.
fn why(order: &Order<'_>, now: Timestamp) -> (Reason, usize) {
    let reason = if order.may_begin(now) { Reason::Approved } else { order.why_not(now).reason };
    (reason, order.tally.valid(now).len())
}

fn add(all: &mut HeldKeys, more: HeldKeys) {
    all.held += more.held;
    all.pending += more.pending;
    all.missing.extend(more.missing);
    all.too_late.extend(more.too_late);
    if all.fault.is_none() {
        all.fault = more.fault;
    }
}
