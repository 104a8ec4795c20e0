//! One round over every trust domain, every slot and every AccessRole.

mod revoking;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use kube::{Api, Client, Resource as _, ResourceExt as _};
use subrosa_crds::{
    AccessRole, AccessRoleStatus, Reason, TrustDomain,
    condition::{self, READY},
};
use subrosa_plan::{
    record::revocations::RevocationsRecord,
    roles::{
        break_glass::unreviewed,
        conflicts, exceptions,
        given::{self, GivenFacts, Giver},
        names,
        review::{self, ReviewFacts},
        revoked::StandingRevocations,
        session,
        status::{self, BoundFacts, RoleFacts},
    },
    world::fault::Fault,
};
use subrosa_process::{cluster, guard::GuardCheck, vault::OwnVault};
use tokio_util::sync::CancellationToken;

use crate::{
    FIELD_MANAGER, accounts,
    audit::VaultAuditLog,
    bindings,
    break_glass::{self, GlassLook, GlassScope},
    domain::{DomainLook, NamedRights, Withheld},
    gate::{GivingGate, Since},
    grants::{GrantRound, Grants},
    metrics::GranterMetrics,
    reminders::Reminders,
    reviews::{self, Noted},
    revocations::{NEVER_SET_UP, Revocations},
    settings::GranterSettings,
    undeclared,
    vaults::OpenVaults,
    view::ClusterView,
};

/// How long a watch may be silent. The API server ends each watch earlier.
const WATCH_PATIENCE: Duration = Duration::from_secs(295);

/// How many roles are written at once in the API server.
const AT_ONCE: usize = 8;

/// The message for roles of a trust domain without logins.
const NO_ACCESS: &str = "the TrustDomain has no spec.access, or is being deleted: nothing is given, and slots of logins that it had \
                         are emptied; next: write spec.access, and run subrosa vault-setup";

/// The message while nobody checks who gives an AccessRole.
const UNCHECKED: &str = "nobody checks who stands in spec.grantedBy: the admission policy subrosa-access-author or its binding is \
                         missing or edited, so whoever may write AccessRoles can give more than they may themselves; next: put \
                         it back as this release has it";

/// The granter.
pub struct Granter {
    client: Client,
    view: ClusterView,
    guard: GuardCheck,
    clock: fn() -> Timestamp,
    reminders: Reminders,
    vaults: OpenVaults,
    revocations: Revocations,
    gate: GivingGate,
    grants: Grants,
    audit: VaultAuditLog,
    metrics: Arc<GranterMetrics>,
}

impl Granter {
    /// A granter that watches until `stop`.
    ///
    /// # Errors
    /// When the connection to the API server cannot be set up.
    pub fn new(
        config: kube::Config,
        settings: GranterSettings,
        guard: GuardCheck,
        stop: CancellationToken,
    ) -> anyhow::Result<Self> {
        let watching = cluster::client(config.clone(), Some(WATCH_PATIENCE))?;
        let client = cluster::client(config, None)?;
        Ok(Self {
            audit: VaultAuditLog::new(settings.vault_audit_log.clone(), settings.interval()),
            vaults: OpenVaults::new(client.clone(), settings),
            client,
            view: ClusterView::new(&watching, &stop),
            guard,
            clock: Timestamp::now,
            reminders: Reminders::default(),
            revocations: Revocations::default(),
            gate: GivingGate::default(),
            grants: Grants::default(),
            metrics: Arc::default(),
        })
    }

    /// Uses another clock for reviews.
    #[must_use]
    pub fn with_clock(self, clock: fn() -> Timestamp) -> Self {
        Self { clock, ..self }
    }

    /// The metrics.
    pub fn metrics(&self) -> Arc<GranterMetrics> {
        Arc::clone(&self.metrics)
    }

    /// Whether a grant waits for the operator, which does not tell when it is done.
    pub fn waits(&self) -> bool {
        self.grants.waits()
    }

    /// Waits until something changes in the cluster.
    pub async fn changed(&self) {
        self.view.changed().await;
    }

    /// Runs one round over everything.
    pub async fn round(&self) {
        if !self.view.is_known().await {
            tracing::warn!("the API server has not listed everything yet: nothing is granted or taken away");
            return;
        }
        let domains = self.view.domains.state();
        for gone in self.vaults.retain(&domains) {
            self.metrics.forget(&gone);
        }
        self.reminders.keep(&self.view.roles.state()).await;
        let unchecked = self.unchecked().await;
        self.audit.read().await;
        for domain in &domains {
            let name = domain.name_any();
            let roles = self.view.roles_of(&name);
            let now = (self.clock)();
            let own = self.vaults.of(domain).await;
            let revocations = self.view.revocations.state();
            let record = match revocations.is_empty() {
                true => RevocationsRecord::default(),
                false => self.revocations.record(&name, own.as_ref().ok().map(AsRef::as_ref)).await,
            };
            let standing = StandingRevocations::of(&name, revocations.iter().map(AsRef::as_ref), &record);
            let since = &Since::new(&self.gate, &self.view, name.clone(), &revocations);
            let noted = match &own {
                Ok(own) => {
                    reviews::look(&self.client, &self.guard, &self.view, domain, own, &roles, now).await
                }
                Err(fault) => Err(fault.clone()),
            };
            let mut withheld = withheld(&roles, noted.as_ref().ok(), now);
            withheld.extend(standing.withheld(roles.iter().map(AsRef::as_ref)));
            // What is written is without the groups that are revoked; what is told and reviewed is the role as it is.
            let without =
                |role: &Arc<AccessRole>| standing.without(role).map_or_else(|| Arc::clone(role), Arc::new);
            let given: Vec<_> = roles.iter().map(without).collect();
            // What the login itself withholds is given by break-glass all the same.
            let ended = exceptions::ended(domain, now);
            let mut without_login = withheld.clone();
            for (role, fault) in exceptions::withheld(roles.iter().map(AsRef::as_ref), &ended) {
                without_login.entry(role).or_insert(fault);
            }
            let scope = GrantRound {
                audit: &self.audit,
                client: &self.client,
                guard: &self.guard,
                view: &self.view,
                domain,
                roles: &roles,
                withheld: &without_login,
                standing: &standing,
                since,
                unknown: noted.as_ref().err(),
                now,
            };
            let closed = self.grants.run(&scope, &own, &self.reminders, &self.metrics).await;
            let bound = self.bind(domain, &given, &without_login, noted.as_ref().err(), since).await;
            let unseen = self.audit.unseen(domain);
            let scope = GlassScope {
                client: &self.client,
                guard: &self.guard,
                view: &self.view,
                domain,
                roles: &roles,
                withheld: &withheld,
                standing: &standing,
                since,
                unknown: noted.as_ref().err(),
                unseen: unseen.as_ref(),
                now,
            };
            let mut glass = break_glass::look(&scope, &own).await;
            if own.is_ok() {
                self.metrics.break_glass_closed(&name, &break_glass::closed(&scope, &glass));
            }
            self.tell_uses(&name, &roles, &glass).await;
            let (mut facts, left) =
                self.domain(domain, own, &given, &without_login, noted.as_ref().err(), since).await;
            for (role, facts) in roles.iter().zip(&mut facts) {
                facts.glass = glass.facts.remove(&conflicts::name(role));
                facts.uses = Some(self.audit.of_role(domain, role, &self.view.opened(role)));
                facts.session =
                    domain.spec.access.as_ref().and_then(|access| session::session(access, &role.spec.login));
                facts.given = given_by(role, noted.as_ref().ok(), &unchecked);
                facts.exception = exceptions::exception(domain, &role.spec.login, now);
                let ending = facts.exception.as_ref();
                let ending = ending.and_then(|exception| exceptions::reminder(&role.spec.login, exception));
                self.reminders.tell_exception(&self.client, role, ending.as_ref()).await;
                let unlogged = facts.glass.as_ref().and_then(|glass| glass.unlogged.reminder());
                self.reminders.tell_unlogged(&self.client, role, unlogged.as_ref()).await;
            }
            self.revocations.note(&name, &standing, &roles, &facts, &bound);
            if let Ok(noted) = &noted {
                for (role, facts) in roles.iter().zip(&mut facts) {
                    facts.review = ReviewFacts::of(role, &noted.record, &noted.zone);
                    let reminder = facts.review.as_ref().and_then(|review| review.reminder(role, now));
                    self.reminders.tell(&self.client, role, reminder.as_ref()).await;
                }
            }
            let sees = |facts: &RoleFacts| facts.glass.as_ref().is_none_or(|glass| glass.unseen.is_none());
            let succeeded =
                closed && left.is_none() && facts.iter().all(|facts| facts.fault.is_none() && sees(facts));
            let told = roles.iter().zip(&facts).zip(&bound);
            let told = told.map(|((role, facts), bound)| self.tell(role, facts, bound));
            let told: Vec<bool> = stream::iter(told).buffered(AT_ONCE).collect().await;
            let ready = told.into_iter().filter(|is_ready| *is_ready).count();
            if noted.is_ok() {
                let due = roles.iter().zip(&facts);
                let due =
                    due.filter_map(|(role, facts)| Some((conflicts::name(role), facts.review.as_ref()?.due)));
                self.metrics.reviews(&name, &due.collect());
            }
            let excepted = facts.iter().filter(|facts| facts.exception.is_some()).count();
            self.metrics.looked(&name, succeeded, ready, roles.len());
            self.metrics.without_second_factor(&name, excepted);
        }
        self.grants.refuse(&self.client, self.view.grants_of_none(), (self.clock)()).await;
        for role in self.view.roles_of_none() {
            let message = "the namespace belongs to no TrustDomain, so nothing is given; next: label it";
            let facts = nothing(Fault::new(Reason::NamespaceNotGoverned, message));
            let bound = bindings::remove(&self.client, &self.view, &role).await;
            self.tell(&role, &facts, &bound).await;
        }
    }

    /// Why nobody can tell that the API server checks who gives an AccessRole.
    async fn unchecked(&self) -> Option<Fault> {
        if self.view.roles.state().iter().all(|role| role.spec.granted_by.is_none()) {
            return None;
        }
        match self.guard.checks_authors(&self.client).await {
            Ok(true) => None,
            Ok(false) => Some(Fault::new(Reason::NotInPlace, UNCHECKED)),
            Err(fault) => Some(fault),
        }
    }

    /// Tells of each use of break-glass: at once, and each day while nobody reviewed it.
    async fn tell_uses(&self, domain: &str, roles: &[Arc<AccessRole>], glass: &GlassLook) {
        for news in &glass.news {
            tracing::warn!(domain, person = news.person, at = %news.at, "break-glass was used");
            let note = news.event();
            for role in roles.iter().filter(|role| role.uid().as_deref() == Some(news.role.as_str())) {
                self.reminders.tell_now(&self.client, role, &note).await;
            }
        }
        let of = |role: &Arc<AccessRole>| glass.facts.get(&conflicts::name(role))?.uses.as_ref();
        let mut told = BTreeMap::new();
        for role in roles {
            let Some(uses) = of(role) else { continue };
            self.reminders.tell_uses(&self.client, role, unreviewed(role, uses).as_ref()).await;
            told.extend(uses.last.zip(uses.due).map(|both| (conflicts::name(role), both)));
        }
        let of_no_role = glass.of_no_role.last.zip(glass.of_no_role.due);
        told.extend(of_no_role.map(|both| ((String::new(), String::new()), both)));
        if glass.is_known {
            self.metrics.break_glass(domain, &told);
        }
    }

    /// Writes the Kubernetes objects of each role. This needs no Vault, except the record of Approvals.
    async fn bind(
        &self,
        domain: &TrustDomain,
        roles: &[Arc<AccessRole>],
        withheld: &Withheld,
        unknown: Option<&Fault>,
        since: &Since<'_>,
    ) -> Vec<BoundFacts> {
        let writes = roles.iter().map(|role| async move {
            let withheld = withheld.contains_key(&conflicts::name(role));
            match unknown {
                Some(fault) if asks_for_record(role) && !withheld => BoundFacts::Fault(fault.clone()),
                _ => {
                    let pass = since.pass().await;
                    let left =
                        if pass.is_as_before() { Some(AccessRole::clone(role)) } else { pass.left_of(role) };
                    let withheld = withheld || left.is_none();
                    let role = left.as_ref().unwrap_or(role);
                    bindings::write(&self.client, &self.view, domain, role, withheld).await
                }
            }
        });
        stream::iter(writes).buffered(AT_ONCE).collect().await
    }

    /// The state of each role of a trust domain, in the order of the roles, and why members of slots that no role needs are left.
    async fn domain(
        &self,
        domain: &TrustDomain,
        own: Result<Arc<OwnVault>, Fault>,
        roles: &[Arc<AccessRole>],
        withheld: &Withheld,
        unknown: Option<&Fault>,
        since: &Since<'_>,
    ) -> (Vec<RoleFacts>, Option<Fault>) {
        let of_all = |fault: Fault| {
            if !roles.is_empty() || fault.reason != Reason::LoginMissing {
                tracing::warn!(
                    domain = domain.name_any(),
                    reason = fault.reason.as_str(),
                    "{}",
                    fault.message
                );
            }
            (vec![nothing(fault); roles.len()], None)
        };
        let emptied = match &own {
            Ok(own) => undeclared::empty(domain, own).await,
            Err(fault) => Err(fault.clone()),
        };
        let Some(access) = domain.spec.access.as_ref().filter(|_| domain.meta().deletion_timestamp.is_none())
        else {
            return match emptied {
                Err(fault) if !NEVER_SET_UP.contains(&fault.reason) => of_all(fault),
                _ => (vec![nothing(Fault::new(Reason::LoginMissing, NO_ACCESS)); roles.len()], None),
            };
        };
        let own = match own {
            Ok(own) => own,
            Err(fault) => return of_all(fault),
        };
        let mut left = emptied.err();
        if let Some(fault) = &left {
            tracing::warn!(
                domain = domain.name_any(),
                reason = fault.reason.as_str(),
                "slots of no login: {}",
                fault.message
            );
        }
        let groups = names::groups(&domain.name_any(), access.provider.groups());
        let mut look = match DomainLook::new(domain, access, groups, &own, since).await {
            Ok(look) => look,
            Err(fault) => return of_all(fault),
        };
        // Without the record of Approvals nothing new is given: what nothing names any more is taken away all the same.
        unknown.into_iter().for_each(|why| look.give_nothing(why));
        let all: Vec<&AccessRole> = roles.iter().map(AsRef::as_ref).collect();
        let left_out = match look.bind(&all).await {
            Ok(left_out) => left_out,
            Err(fault) => return of_all(fault),
        };
        let mut facts: BTreeMap<usize, RoleFacts> = BTreeMap::new();
        for login in &access.logins {
            let (places, of_login): (Vec<usize>, Vec<(&AccessRole, NamedRights)>) = all
                .iter()
                .enumerate()
                .filter(|(_, role)| role.spec.login == login.name)
                .map(|(place, role)| (place, (*role, self.view.rights(role))))
                .unzip();
            let found = match look.login(login, &of_login, withheld, &left_out).await {
                Ok(found) => {
                    left = left.or(found.left);
                    found.roles
                }
                Err(fault) => {
                    tracing::warn!(
                        domain = domain.name_any(),
                        login = login.name,
                        reason = fault.reason.as_str(),
                        "{}",
                        fault.message
                    );
                    vec![nothing(fault); places.len()]
                }
            };
            facts.extend(places.into_iter().zip(found));
        }
        let (places, of_accounts): (Vec<usize>, Vec<&AccessRole>) =
            all.iter().copied().enumerate().filter(|(_, role)| role.spec.is_for_accounts()).unzip();
        let found =
            accounts::look(domain, access, (&self.view, &own), &of_accounts, withheld, (since, unknown))
                .await;
        let of_accounts = found.map_or_else(
            || vec![accounts::no_login(domain); places.len()],
            |found| {
                left = left.take().or(found.left);
                found.roles
            },
        );
        facts.extend(places.into_iter().zip(of_accounts));
        let known: BTreeSet<&str> = access.logins.iter().map(|login| login.name.as_str()).collect();
        let without = |role: &AccessRole| {
            let message = format!(
                "spec.login: TrustDomain {} has no login {}, only {}; next: correct it, or add the login and run subrosa vault-setup",
                domain.name_any(),
                role.spec.login,
                known.iter().copied().collect::<Vec<_>>().join(", ")
            );
            nothing(Fault::new(Reason::LoginMissing, message))
        };
        let of = |(place, role): (usize, &&AccessRole)| facts.remove(&place).unwrap_or_else(|| without(role));
        (all.iter().enumerate().map(of).collect(), left)
    }

    /// Writes the status of a role; returns whether it is ready.
    async fn tell(&self, role: &AccessRole, facts: &RoleFacts, bound: &BoundFacts) -> bool {
        let status: AccessRoleStatus = status::status(role, facts, bound, (self.clock)());
        let ready = condition::is_true(&status.conditions, READY);
        let api = Api::namespaced(self.client.clone(), &role.namespace().unwrap_or_default());
        let written = cluster::write_status(&api, FIELD_MANAGER, role, role.status.as_ref(), &status).await;
        if let Err(fault) = written {
            tracing::warn!(
                role = format!("{}/{}", role.namespace().unwrap_or_default(), role.name_any()),
                reason = fault.reason.as_str(),
                "its status was not written: {}",
                fault.message
            );
        }
        ready
    }
}

/// Whether what a role gives depends on the record of Approvals.
fn asks_for_record(role: &AccessRole) -> bool {
    role.spec.review.is_some() || role.spec.granted_by.is_none()
}

/// Who gives a role, as far as that is known.
fn given_by(role: &AccessRole, noted: Option<&Noted>, unchecked: &Option<Fault>) -> Option<GivenFacts> {
    let giver = match (&role.spec.granted_by, noted) {
        (_, Some(noted)) => Giver::of(role, &noted.record),
        (Some(author), None) => Giver::Author(author.clone()),
        (None, None) => return None,
    };
    Some(GivenFacts { giver, unchecked: unchecked.clone() })
}

/// The roles that give nothing at `now` because nobody gives them, a conflict or an overdue review.
fn withheld(roles: &[Arc<AccessRole>], noted: Option<&Noted>, now: Timestamp) -> Withheld {
    let roles = || roles.iter().map(AsRef::as_ref);
    let mut withheld = match noted {
        Some(noted) => {
            let mut withheld = given::ungiven(roles(), &noted.record);
            withheld.extend(review::suspended(roles(), &noted.record, &noted.zone, now));
            withheld
        }
        None => Withheld::new(),
    };
    withheld.extend(conflicts::conflicting(roles()));
    withheld
}

pub fn nothing(fault: Fault) -> RoleFacts {
    RoleFacts { fault: Some(fault), ..RoleFacts::default() }
}
