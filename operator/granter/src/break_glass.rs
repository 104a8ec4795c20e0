//! Break-glass: its slots, who used it, and the reviews of that. The decisions are in [`break_glass`] and [`uses`].

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use kube::{Client, ResourceExt as _};
use subrosa_crds::{
    AccessRole, Reason, TrustDomain,
    trust_domain::{AccessSpec, DEFAULT_USE_REVIEW},
};
use subrosa_plan::{
    record::break_glass::BreakGlassRecord,
    roles::{
        break_glass::{self, GlassFacts, UnreviewedUses},
        conflicts::{self, RoleName},
        effective::GroupRight,
        names,
        revoked::{RevokedPeople, StandingRevocations},
        status::RoleFacts,
        unlogged::{self, UnloggedGlass},
        uses::{self, GlassLogin, UseNews},
    },
    world::{domain, fault::Fault},
};
use subrosa_process::{
    guard::GuardCheck,
    vault::{OwnVault, fault},
};
use subrosa_records::{
    store::Store,
    vault::{
        RecordPath, VaultError,
        logins::{self, LoginAlias},
        name::MountAccessor,
    },
};

use crate::{
    domain::{DomainLook, NamedRights, Withheld},
    gate::Since,
    reviews::seen,
    revocations::GIVES_NOTHING,
    round::nothing,
    vaults::AT_ONCE,
    view::ClusterView,
};

/// What one look needs beside Vault.
pub struct GlassScope<'a> {
    /// The API server.
    pub client: &'a Client,
    /// The admission policy of Approvals.
    pub guard: &'a GuardCheck,
    /// What is watched.
    pub view: &'a ClusterView,
    /// The trust domain.
    pub domain: &'a TrustDomain,
    /// Its roles.
    pub roles: &'a [Arc<AccessRole>],
    /// The roles that give nothing.
    pub withheld: &'a Withheld,
    /// The AccessRevocations that stand.
    pub standing: &'a StandingRevocations<'a>,
    /// What was revoked meanwhile.
    pub since: &'a Since<'a>,
    /// Why it is not known which roles give nothing.
    pub unknown: Option<&'a Fault>,
    /// Why nobody sees what is opened.
    pub unseen: Option<&'a Fault>,
    /// The time.
    pub now: Timestamp,
}

/// What was found.
#[derive(Default)]
pub struct GlassLook {
    /// Whether the record could be read.
    pub is_known: bool,
    /// The state of each role with `spec.breakGlass`.
    pub facts: BTreeMap<RoleName, GlassFacts>,
    /// The uses of no role that there is, while no role has `spec.breakGlass`.
    pub of_no_role: UnreviewedUses,
    /// What was not told yet.
    pub news: Vec<UseNews>,
}

/// Brings the slots of break-glass to what the roles say, and notes who used it and what was reviewed.
pub async fn look(scope: &GlassScope<'_>, own: &Result<Arc<OwnVault>, Fault>) -> GlassLook {
    let with_glass = |role: &&Arc<AccessRole>| role.spec.break_glass.is_some();
    let roles: Vec<&AccessRole> = scope.roles.iter().filter(with_glass).map(AsRef::as_ref).collect();
    let is_there = scope.domain.metadata.deletion_timestamp.is_none();
    let access = scope.domain.spec.access.as_ref().filter(|_| is_there);
    let glass = access.and_then(break_glass::access);
    if roles.is_empty() && glass.is_none() {
        return left(scope, own).await;
    }
    let within = access.and_then(|access| access.break_glass.as_ref());
    let within = within.map_or(DEFAULT_USE_REVIEW, |glass| glass.review_within());
    let ttl = glass.iter().flat_map(|glass| &glass.logins).next();
    let (ttl, seconds) = ttl.map(|login| (login.ttl().to_owned(), login.ttl_seconds())).unwrap_or_default();
    let of_all = |fault: &Fault| {
        let facts = |role: &&AccessRole| {
            let (prepared, ttl) = (Err(fault.clone()), ttl.clone());
            let unlogged = UnloggedGlass::default();
            let facts = GlassFacts { prepared, effective: None, unseen: None, uses: None, unlogged, ttl };
            (conflicts::name(role), facts)
        };
        GlassLook { facts: roles.iter().map(facts).collect(), ..GlassLook::default() }
    };
    let own = match own {
        Ok(own) => own,
        Err(fault) => return of_all(fault),
    };
    let store = Store::<BreakGlassRecord>::new(own.kv.clone());
    let before = read(scope, &store).await;
    // While the record cannot be read, a log that cannot be read takes nothing away.
    let since = before.as_ref().ok().and_then(|record| record.log_unread_since);
    let since = unlogged::unread_since(since, scope.unseen, scope.now);
    let unlogged = unlogged::judge(scope.domain, scope.unseen, since, scope.now);
    let (mut prepared, mut people, mut accessor) = (BTreeMap::new(), BTreeMap::new(), None);
    let (mut unseen, mut left) = (None, None);
    if let Some((access, glass)) = access.zip(glass.as_ref()) {
        match prepare(scope, access, glass, own, unlogged.closed.as_ref()).await {
            Ok(done) => {
                (prepared, people, accessor) = (done.prepared, done.people, Some(done.accessor));
                left = done.left;
            }
            Err(fault) => unseen = Some(fault),
        }
    }
    let found = match (before, accessor) {
        (Ok(record), Some(accessor)) => told(scope, own, &store, record, &accessor, &people, seconds).await,
        // Without the login nobody uses it: what was seen waits for its review all the same.
        (Ok(record), None) => note(scope, &store, record, &people, None, SignedDuration::ZERO).await,
        (Err(fault), _) => (None, Some(fault), Vec::new()),
    };
    let (record, not_seen, news) = found;
    let unseen_now = not_seen.or_else(|| unseen.clone());
    let zone = domain::time_zone(scope.domain).unwrap_or(TimeZone::UTC);
    let uses_of = |uid: &str| record.as_ref().map(|record| uses::unreviewed(record, uid, within, &zone));
    let facts = roles.iter().map(|role| {
        let name = conflicts::name(role);
        let group = role.spec.break_glass.as_ref().map(|glass| glass.group.as_str()).unwrap_or_default();
        let why_not = || match unseen.as_ref().or(left.as_ref()) {
            Some(fault) => fault.clone(),
            None if scope.standing.has_group(group) => break_glass::revoked(group),
            None => break_glass::not_derived(access, role),
        };
        // A role that was not derived gives nothing, if the slots could be brought to that.
        let nothing = unseen.is_none().then(BTreeSet::new);
        let (prepared, effective) = prepared.remove(&name).unwrap_or_else(|| (Err(why_not()), nothing));
        let uses = uses_of(&role.uid().unwrap_or_default());
        let (unseen, unlogged, ttl) = (unseen_now.clone(), unlogged.clone(), ttl.clone());
        (name, GlassFacts { prepared, effective, unseen, uses, unlogged, ttl })
    });
    let is_known = record.is_some();
    GlassLook {
        is_known,
        facts: facts.collect(),
        of_no_role: uses_of(uses::OF_NO_ROLE).unwrap_or_default(),
        news,
    }
}

/// The roles whose break-glass opens nothing for no other reason than that nobody sees what is opened, and how that is called.
pub fn closed(scope: &GlassScope<'_>, found: &GlassLook) -> BTreeMap<RoleName, Reason> {
    let access = scope.domain.spec.access.as_ref();
    let prepared = scope.roles.iter().filter(|role| {
        let is_enrolled = access.is_some_and(|access| break_glass::role(access, role).is_some());
        is_enrolled && !scope.withheld.contains_key(&conflicts::name(role))
    });
    let closed = prepared.filter_map(|role| {
        let name = conflicts::name(role);
        let reason = found.facts.get(&name)?.unlogged.closed.as_ref()?.reason;
        Some((name, reason))
    });
    closed.collect()
}

/// What waits for a review where nothing has break-glass any more.
async fn left(scope: &GlassScope<'_>, own: &Result<Arc<OwnVault>, Fault>) -> GlassLook {
    let Ok(own) = own else { return GlassLook::default() };
    // An earlier setup of Vault does not let the granter read it; then there is none.
    let Ok(entry) = Store::<BreakGlassRecord>::new(own.kv.clone()).read(&RecordPath::break_glass()).await
    else {
        return GlassLook::default();
    };
    let mut record = entry.record.unwrap_or_default();
    uses::pass_on(&mut record, []);
    let zone = domain::time_zone(scope.domain).unwrap_or(TimeZone::UTC);
    let of_no_role = uses::unreviewed(&record, uses::OF_NO_ROLE, DEFAULT_USE_REVIEW, &zone);
    GlassLook { is_known: true, of_no_role, ..GlassLook::default() }
}

/// How many classes can be opened by a role's break-glass, or why they cannot; and what its group may open now, where that is known.
type PreparedRole = (Result<usize, Fault>, Option<BTreeSet<GroupRight>>);

/// The slots of break-glass after they were brought to what the roles say.
struct Prepared {
    prepared: BTreeMap<RoleName, PreparedRole>,
    /// The entities of the people of each role's group, by the role's UID.
    people: BTreeMap<String, BTreeSet<String>>,
    accessor: MountAccessor,
    /// Why somebody may still be a member of a slot that no role needs.
    left: Option<Fault>,
}

async fn prepare(
    scope: &GlassScope<'_>,
    access: &AccessSpec,
    glass: &AccessSpec,
    own: &OwnVault,
    closed: Option<&Fault>,
) -> Result<Prepared, Fault> {
    let mut withheld = scope.withheld.clone();
    for role in scope.roles {
        if let Some(fault) = closed {
            withheld.entry(conflicts::name(role)).or_insert_with(|| fault.clone());
        }
    }
    let names = names::break_glass_groups(&scope.domain.name_any(), glass.provider.groups());
    let mut look = DomainLook::new(scope.domain, glass, names, own, scope.since).await?;
    let stays = |role: &AccessRole| !role.spec.groups().iter().any(|group| scope.standing.has_group(group));
    let derived: Vec<AccessRole> =
        scope.roles.iter().filter_map(|role| break_glass::role(access, role)).filter(stays).collect();
    let (mut facts, mut left): (Vec<RoleFacts>, Option<Fault>) = (Vec::new(), None);
    // Without the record of Approvals nothing new is given, and what has to close closes.
    scope.unknown.into_iter().for_each(|why| look.give_nothing(why));
    let left_out = look.bind(&derived.iter().collect::<Vec<_>>()).await?;
    let opened: Vec<(&AccessRole, NamedRights)> =
        derived.iter().map(|role| (role, scope.view.rights(role))).collect();
    for login in &glass.logins {
        match look.login(login, &opened, &withheld, &left_out).await {
            Ok(done) => (facts, left) = (done.roles, done.left),
            Err(fault) => {
                tracing::warn!(
                    domain = scope.domain.name_any(),
                    login = login.name,
                    reason = fault.reason.as_str(),
                    "{}",
                    fault.message
                );
                let is_taken_away = scope.unknown == Some(&fault) || GIVES_NOTHING.contains(&fault.reason);
                let of = |role: &AccessRole| match withheld.get(&conflicts::name(role)) {
                    Some(why) if scope.unknown == Some(&fault) => {
                        RoleFacts { withheld: Some(why.clone()), ..RoleFacts::default() }
                    }
                    _ => nothing(fault.clone()),
                };
                facts = derived.iter().map(of).collect();
                // Without the login, members are taken out all the same.
                left = Some(fault).filter(|_| !is_taken_away);
            }
        }
    }
    let prepared = derived.iter().zip(&facts);
    let prepared = prepared.map(|(role, facts)| {
        let effective = facts.fault.is_none().then(|| facts.effective.clone());
        (conflicts::name(role), (break_glass::prepared(facts), effective))
    });
    let people = scope.roles.iter().filter_map(|role| {
        let group = &role.spec.break_glass.as_ref()?.group;
        Some((role.uid()?, look.people_of(group)))
    });
    let (prepared, people, accessor) = (prepared.collect(), people.collect(), look.accessor().clone());
    Ok(Prepared { prepared, people, accessor, left })
}

/// The record, where it could be read; why somebody may not be seen; and what was not told yet.
type Told = (Option<BreakGlassRecord>, Option<Fault>, Vec<UseNews>);

/// Notes who used it.
async fn told(
    scope: &GlassScope<'_>,
    own: &OwnVault,
    store: &Store<BreakGlassRecord>,
    record: BreakGlassRecord,
    accessor: &MountAccessor,
    people: &BTreeMap<String, BTreeSet<String>>,
    ttl: u32,
) -> Told {
    let (logins, not_seen) = match seen_logins(own, accessor, &record, scope.now).await {
        Ok(logins) => (Some(logins), None),
        Err(VaultError::PermissionDenied { .. }) => {
            (None, Some(forbidden("list who logged in by break-glass")))
        }
        Err(error) => (None, Some(fault(&error))),
    };
    let ttl = SignedDuration::from_secs(i64::from(ttl));
    let (record, failed, news) = note(scope, store, record, people, logins.as_deref(), ttl).await;
    let crowded = record.as_ref().zip(logins).and_then(|(record, logins)| uses::crowded(record, &logins));
    (record, not_seen.or(failed).or(crowded), news)
}

/// The record. One that cannot be understood counts as empty: then every use is told once more.
async fn read(scope: &GlassScope<'_>, store: &Store<BreakGlassRecord>) -> Result<BreakGlassRecord, Fault> {
    match store.read(&RecordPath::break_glass()).await {
        Ok(entry) => Ok(entry.record.unwrap_or_default()),
        Err(error) if error.is_unreadable() => {
            let name = scope.domain.name_any();
            tracing::warn!(domain = name, "the record of break-glass counts as empty: {error}");
            Ok(BreakGlassRecord::default())
        }
        Err(VaultError::PermissionDenied { .. }) => Err(forbidden("read its record of break-glass")),
        Err(error) => Err(fault(&error)),
    }
}

fn forbidden(what: &str) -> Fault {
    let message = format!(
        "spec.breakGlass: the granter may not {what} in Vault, so nobody sees whether somebody used it; next: run subrosa \
         vault-setup for the TrustDomain with spec.access.breakGlass"
    );
    Fault::new(Reason::UsesNotSeen, message)
}

/// Everybody who used it. When they did is asked of those with another token than before.
async fn seen_logins(
    own: &OwnVault,
    accessor: &MountAccessor,
    record: &BreakGlassRecord,
    now: Timestamp,
) -> Result<Vec<GlassLogin>, VaultError> {
    let look = |alias: LoginAlias| async move {
        let known = record.seen.get(alias.id.as_str()).filter(|seen| seen.token == alias.token);
        let at = match known {
            Some(seen) => seen.at,
            None => logins::last_login(&own.vault, &alias.id).await?.unwrap_or(now),
        };
        Ok(GlassLogin {
            alias: alias.id.to_string(),
            person: alias.person,
            entity: alias.entity,
            token: alias.token,
            at,
        })
    };
    let looks: Vec<_> = logins::logins(&own.vault, accessor).await?.into_iter().map(look).collect();
    stream::iter(looks).buffered(AT_ONCE).try_collect().await
}

/// Writes the record where it changed. What cannot be written is shown, and told at the next look.
async fn note(
    scope: &GlassScope<'_>,
    store: &Store<BreakGlassRecord>,
    before: BreakGlassRecord,
    people: &BTreeMap<String, BTreeSet<String>>,
    logins: Option<&[GlassLogin]>,
    ttl: SignedDuration,
) -> Told {
    let name = scope.domain.name_any();
    // Without the admission policy no Approval counts.
    let version = match before.uses.is_empty() && before.guard.is_some() {
        true => before.guard.as_ref().map(|guard| guard.version.clone()),
        false => scope.guard.version(scope.client).await.unwrap_or_else(|fault| {
            tracing::warn!(domain = name, "no review of break-glass is noted: {}", fault.message);
            None
        }),
    };
    let with_glass: Vec<_> = scope.roles.iter().filter(|role| role.spec.break_glass.is_some()).collect();
    let uids: BTreeSet<String> = with_glass.iter().filter_map(|role| role.uid()).collect();
    let roles = uids.iter().map(|uid| (uid.clone(), people.get(uid).cloned().unwrap_or_default())).collect();
    let mut approvals = scope.view.approvals.state();
    let revocations = scope.view.revocations.state();
    let people = RevokedPeople::of(revocations.iter().map(AsRef::as_ref));
    approvals.retain(|one| people.lets_count(one));
    let decide = |record: Option<BreakGlassRecord>| {
        let mut record = record.unwrap_or_default();
        let guarded_since = seen(&mut record.guard, version.as_deref(), scope.now);
        record.log_unread_since = unlogged::unread_since(record.log_unread_since, scope.unseen, scope.now);
        uses::pass_on(&mut record, &uids);
        let mut news = Vec::new();
        if let Some(logins) = logins {
            news = uses::observe(&mut record, logins, &roles, ttl, scope.now);
            uses::forget(&mut record, logins);
        }
        for role in &with_glass {
            let all = approvals.iter().map(AsRef::as_ref);
            if let Some(mark) = uses::review(&mut record, role, all, guarded_since, scope.now) {
                tracing::info!(
                    domain = name,
                    role = role.name_any(),
                    approval = mark.approval,
                    "a use was reviewed"
                );
            }
        }
        (record, news)
    };
    let (wanted, news) = decide(Some(before.clone()));
    if wanted == before {
        return (Some(before), None, Vec::new());
    }
    let mut told = Vec::new();
    let path = RecordPath::break_glass();
    let written = store.transaction(&path, |record| {
        let (record, news) = decide(record);
        told = news;
        Some(record)
    });
    match written.await {
        Ok(entry) => (Some(entry.record.unwrap_or_default()), None, told),
        Err(error) => {
            tracing::warn!(
                domain = name,
                uses = news.len(),
                "the record of break-glass was not written: {error}"
            );
            (Some(wanted), Some(fault(&error)), Vec::new())
        }
    }
}
