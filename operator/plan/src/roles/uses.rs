//! Who used break-glass, and which reviews of that count.
//!
//! A login of break-glass leaves an alias on its own auth mount, with the id of the provider's token. An id that the record
//! does not know is a use. It waits for a review of each role that it could open. Several logins between two looks are one,
//! and so are several with one token: numbers of logins are a lower bound.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use kube::ResourceExt as _;
use subrosa_crds::{
    AccessRole, Approval, Reason,
    access_role::{BreakGlassUse, MAX_LISTED, uses_digest},
    approval::TargetKind,
    destruction::Approver,
};

use super::{break_glass::UnreviewedUses, review::after};
use crate::{
    record::{
        self,
        break_glass::{BreakGlassRecord, OpenUse, SeenLogin},
        reviews::ReviewMark,
    },
    world::{
        fault::Fault,
        tally::{self, Target},
    },
};

/// What a use takes in the record beside the person's name, at most: its role, its alias, two times and a number.
const SIZE_OF_USE: usize = 260;
/// What the id of an alias takes.
const SIZE_OF_NAME: usize = 50;
/// The UID under which uses of no role stand.
pub const OF_NO_ROLE: &str = "";

/// The last login of a person by break-glass, as Vault has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GlassLogin {
    /// The id of the person's alias.
    pub alias: String,
    /// The person, as the provider's tokens name them.
    pub person: String,
    /// The id of their entity, by which groups name them.
    pub entity: String,
    /// The id of the provider's token.
    pub token: String,
    /// When it was.
    pub at: Timestamp,
}

/// A use that was not told yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UseNews {
    /// The UID of the role that could be opened, or [`OF_NO_ROLE`].
    pub role: String,
    /// Who.
    pub person: String,
    /// When.
    pub at: Timestamp,
}

impl UseNews {
    /// The content of the Event about it.
    pub fn event(&self) -> Fault {
        let message = format!(
            "{} logged in by break-glass at {}, and can open what this role names until the session ends; next: find out why",
            self.person, self.at
        );
        Fault::new(Reason::BreakGlassUsed, message)
    }
}

/// Notes `logins` in `record`; returns what is new. `roles` are the UIDs of the roles with break-glass, with the entities of
/// the people of their group. A login of nobody's group counts for each role, and so do the uses of a role that is gone.
/// A session that may still last counts for a role that came later, too. A login for which the record has no room is left out as a
/// whole, and is new again at the next look: see [`crowded`].
pub fn observe(
    record: &mut BreakGlassRecord,
    logins: &[GlassLogin],
    roles: &BTreeMap<String, BTreeSet<String>>,
    ttl: SignedDuration,
    now: Timestamp,
) -> Vec<UseNews> {
    let mut news = Vec::new();
    let mut room = record::room(record);
    for login in logins {
        let opened = opened(login, roles);
        let seen = record.seen.get(&login.alias).filter(|seen| seen.token == login.token);
        let (told, is_over) = match seen {
            Some(seen) => (seen.roles.clone(), seen.at.saturating_add(ttl).is_ok_and(|end| end <= now)),
            None => (BTreeSet::new(), false),
        };
        if is_over {
            // No role that comes now was open to it.
            if let Some(seen) = record.seen.get_mut(&login.alias) {
                seen.roles.clear();
            }
            continue;
        }
        let seen = SeenLogin {
            token: login.token.clone(),
            at: login.at,
            roles: opened.union(&told).cloned().collect(),
        };
        let known =
            |role: &&String| record.uses.get(*role).is_some_and(|uses| uses.contains_key(&login.alias));
        let new_uses = opened.difference(&told).filter(|role| !known(role)).count();
        let before = record.seen.get(&login.alias).map_or(0, |seen| record::bytes(seen) + SIZE_OF_NAME);
        let size = new_uses * size_of(&login.person) + record::bytes(&seen) + SIZE_OF_NAME;
        match room.checked_sub(size.saturating_sub(before)) {
            Some(left) => room = left,
            None => continue,
        }
        for role in opened.difference(&told) {
            let uses = record.uses.entry(role.clone()).or_default();
            let one = uses.entry(login.alias.clone()).or_insert_with(|| OpenUse {
                person: login.person.clone(),
                first: login.at,
                last: login.at,
                logins: 0,
            });
            one.last = one.last.max(login.at);
            one.logins = one.logins.saturating_add(1);
            news.push(UseNews { role: role.clone(), person: login.person.clone(), at: login.at });
        }
        record.seen.insert(login.alias.clone(), seen);
    }
    news
}

/// Why some of `logins` are not noted: the record has no room for them.
pub fn crowded(record: &BreakGlassRecord, logins: &[GlassLogin]) -> Option<Fault> {
    let is_noted =
        |login: &&GlassLogin| record.seen.get(&login.alias).is_some_and(|seen| seen.token == login.token);
    let left = logins.len() - logins.iter().filter(is_noted).count();
    let message = format!(
        "spec.breakGlass: the granter's record has no room for {left} more {}, which nobody is told of until it has; next: review those          that are listed, keep fewer people in the groups of break-glass, and delete the entities of who left from Vault",
        if left == 1 { "login" } else { "logins" }
    );
    (left > 0).then(|| Fault::new(Reason::UsesNotSeen, message))
}

/// Forgets aliases that Vault no longer has: they do not come back.
pub fn forget(record: &mut BreakGlassRecord, logins: &[GlassLogin]) {
    let there: BTreeSet<&str> = logins.iter().map(|login| login.alias.as_str()).collect();
    record.seen.retain(|alias, _| there.contains(alias.as_str()));
}

/// Passes the uses of roles that are gone on to every role that there is, so that no deletion hides them; to [`OF_NO_ROLE`]
/// where there is none, and to one role alone where the record has no room for more.
pub fn pass_on<'a>(record: &mut BreakGlassRecord, roles: impl IntoIterator<Item = &'a String>) {
    let nobody = OF_NO_ROLE.to_owned();
    let mut roles: BTreeSet<&String> = roles.into_iter().collect();
    record.reviewed.retain(|uid, _| roles.contains(uid));
    if roles.is_empty() {
        roles.insert(&nobody);
    }
    let gone: Vec<String> = record.uses.keys().filter(|uid| !roles.contains(uid)).cloned().collect();
    let passed: Vec<_> = gone.iter().filter_map(|uid| record.uses.remove(uid)).flatten().collect();
    if passed.is_empty() {
        return;
    }
    let mut room = record::room(record);
    for (alias, passed) in passed {
        let size = size_of(&passed.person);
        for (index, role) in roles.iter().enumerate() {
            let is_there = record.uses.get(*role).is_some_and(|uses| uses.contains_key(&alias));
            if index > 0 && !is_there && room < size {
                continue;
            }
            if !is_there {
                room = room.saturating_sub(size);
            }
            let uses = record.uses.entry((*role).clone()).or_default();
            let one = uses.entry(alias.clone()).or_insert_with(|| passed.clone());
            one.first = one.first.min(passed.first);
            one.last = one.last.max(passed.last);
            one.logins = one.logins.max(passed.logins);
        }
    }
}

fn opened(login: &GlassLogin, roles: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<String> {
    let of = roles.iter().filter(|(_, people)| people.contains(&login.entity));
    let of: BTreeSet<String> = of.map(|(uid, _)| uid.clone()).collect();
    match (of.is_empty(), roles.is_empty()) {
        (false, _) => of,
        (true, false) => roles.keys().cloned().collect(),
        (true, true) => [OF_NO_ROLE.to_owned()].into(),
    }
}

/// The uses of the role with `uid` that nobody reviewed; they are due `within` their first.
pub fn unreviewed(record: &BreakGlassRecord, uid: &str, within: &str, zone: &TimeZone) -> UnreviewedUses {
    let uses = record.uses.get(uid);
    let all = || uses.into_iter().flat_map(BTreeMap::values);
    let oldest = all().map(|one| one.first).min();
    UnreviewedUses {
        listed: listed(record, uid).into_iter().map(|(_, one)| one).collect(),
        people: uses.map(BTreeMap::len).unwrap_or_default(),
        last: all().map(|one| one.last).max(),
        // An invalid or too long period is due at once.
        due: oldest.map(|first| after(within, first, zone).unwrap_or(first)),
        reviewed: record.reviewed.get(uid).cloned(),
    }
}

/// The oldest uses of a role, with the ids of their aliases.
fn listed(record: &BreakGlassRecord, uid: &str) -> Vec<(String, BreakGlassUse)> {
    let shown = |(alias, one): (&String, &OpenUse)| {
        let shown = BreakGlassUse {
            first: one.first.to_string(),
            last: one.last.to_string(),
            person: one.person.clone(),
            logins: one.logins,
        };
        (one.first, alias.clone(), shown)
    };
    let mut all: Vec<_> = record.uses.get(uid).into_iter().flatten().map(shown).collect();
    all.sort();
    all.into_iter().take(MAX_LISTED).map(|(_, alias, shown)| (alias, shown)).collect()
}

/// Notes the review of the listed uses of `role`, where one counts at `now`: by nobody who used it, without a denial, of
/// exactly these uses. Approvals from before `guarded_since` do not count.
pub fn review<'a>(
    record: &mut BreakGlassRecord,
    role: &AccessRole,
    approvals: impl IntoIterator<Item = &'a Approval>,
    guarded_since: Option<Timestamp>,
    now: Timestamp,
) -> Option<ReviewMark> {
    let (name, uid, namespace) = (role.name_any(), role.uid()?, role.namespace());
    let listed = listed(record, &uid);
    if listed.is_empty() {
        return None;
    }
    let digest = uses_digest(&listed.iter().map(|(_, one)| one.clone()).collect::<Vec<_>>());
    let target = Target { kind: TargetKind::AccessRole, name: &name, uid: &uid, digest: &digest };
    let about = approvals.into_iter().filter(|one| one.spec.target.namespace == namespace);
    let tally = tally::count(about, &target, guarded_since, "", now);
    if tally.denied.is_some() {
        return None;
    }
    let uses = record.uses.get_mut(&uid)?;
    let used = |approver: &str| uses.values().any(|one| is_same(approver, &one.person));
    let by_others = tally.valid(now).into_iter().filter(|one| !used(&one.approver));
    let newest = by_others.filter_map(|one| Some((one.at.parse::<Timestamp>().ok()?, one))).max()?;
    let (at, Approver { approver, approval, uid: approval_uid, .. }) = newest;
    uses.retain(|alias, _| !listed.iter().any(|(reviewed, _)| reviewed == alias));
    if uses.is_empty() {
        record.uses.remove(&uid);
    }
    let mark = ReviewMark { at, approver, approval, uid: approval_uid, digest };
    record.reviewed.insert(uid, mark.clone());
    forget_reviews(record);
    Some(mark)
}

/// What a use of a person takes in the record.
fn size_of(person: &str) -> usize {
    SIZE_OF_USE + record::bytes(&person)
}

/// Forgets the oldest reviews, of which status tells, where the record has no room: nothing is decided by them.
fn forget_reviews(record: &mut BreakGlassRecord) {
    while !record::has_room(record) {
        let oldest = record.reviewed.iter().min_by_key(|(_, mark)| mark.at).map(|(uid, _)| uid.clone());
        let Some(oldest) = oldest else { return };
        record.reviewed.remove(&oldest);
    }
}

/// Whether a user of the API server is a person of the provider, as far as names tell: an API server may write something
/// before the claim, such as `oidc:` or `https://issuer#`, or the claim may be the part of an address before its `@`.
pub fn is_same(user: &str, person: &str) -> bool {
    let (user, person) = (user.to_lowercase(), person.to_lowercase());
    let before = user.strip_suffix(person.as_str());
    let after = user.strip_prefix(person.as_str());
    user == person
        || before.is_some_and(|before| before.ends_with(|sign: char| !sign.is_alphanumeric()))
        || after.is_some_and(|after| after.starts_with('@'))
}

#[cfg(test)]
mod tests;
