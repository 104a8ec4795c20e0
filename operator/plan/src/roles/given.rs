//! Who gives an AccessRole: a person who may grant each Channel that it names, so that nobody gets more through it.
//!
//! Either that person writes it in their own name (`spec.grantedBy`, which the policy `subrosa-access-author` checks), or they approve
//! what somebody else wrote: an Approval that names the Channels (`spec.target.channels`, which the policy `subrosa-approval` checks)
//! and has the digest of all that the role says. The granter notes that Approval; the operator reads the note.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use kube::ResourceExt as _;
use subrosa_crds::{
    AccessRole, Approval, Reason,
    access_role::MAX_CHANNELS,
    approval::{Decision, TargetKind},
    condition::{GIVEN, Truth, Verdict},
    destruction::Approver,
};

use super::{
    conflicts::{self, RoleName},
    status::unknown_or_false,
};
use crate::{
    record::reviews::{ReviewMark, ReviewsRecord},
    world::{
        fault::Fault,
        tally::{self, Target},
    },
};

/// Who gives a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Giver {
    /// Who wrote it, by name.
    Author(String),
    /// Who approved what it says.
    Approver(ReviewMark),
    /// Nobody: it gives nothing.
    Nobody,
}

impl Giver {
    /// Who gives `role`, by what was noted.
    pub fn of(role: &AccessRole, record: &ReviewsRecord) -> Self {
        if let Some(author) = &role.spec.granted_by {
            return Self::Author(author.clone());
        }
        let noted = role.uid().and_then(|uid| record.given.get(&uid));
        match noted.filter(|mark| mark.digest == role.spec.scope_digest()) {
            Some(mark) => Self::Approver(mark.clone()),
            None => Self::Nobody,
        }
    }
}

/// What was found out about who gives a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenFacts {
    /// Who gives it.
    pub giver: Giver,
    /// Why nobody can tell that the API server checked an author.
    pub unchecked: Option<Fault>,
}

/// The roles that give nothing because nobody gives them, by what was noted.
pub fn ungiven<'a>(
    roles: impl IntoIterator<Item = &'a AccessRole>,
    record: &ReviewsRecord,
) -> BTreeMap<RoleName, Fault> {
    let ungiven = roles.into_iter().filter(|role| Giver::of(role, record) == Giver::Nobody);
    ungiven.map(|role| (conflicts::name(role), awaits(role))).collect()
}

/// That nobody gives `role` yet, and what to do.
pub fn awaits(role: &AccessRole) -> Fault {
    let channels: Vec<String> = role.spec.channels().into_iter().collect();
    let next = if channels.len() > MAX_CHANNELS {
        format!("write several AccessRoles, of at most {MAX_CHANNELS} Channels each")
    } else {
        format!(
            "somebody with the verb grant on each of them runs: subrosa approve accessrole/{}/{}",
            role.namespace().unwrap_or_default(),
            role.name_any()
        )
    };
    let message = format!(
        "the role gives nothing: nobody who may grant its Channels ({}) gives it, neither in spec.grantedBy nor by an Approval of what \
         it says now; next: {next}",
        channels.join(", ")
    );
    Fault::new(Reason::AwaitingApproval, message)
}

/// The note about `role` that replaces `noted` at `now`, if any. Approvals from before `guarded_since`, or from before what is
/// noted, do not count. A denial takes back what was noted, and so does an author who gives the role: what was approved before
/// would otherwise be given again when somebody else takes the author out.
pub fn noted<'a>(
    role: &AccessRole,
    approvals: impl IntoIterator<Item = &'a Approval>,
    guarded_since: Option<Timestamp>,
    noted: Option<&ReviewMark>,
    now: Timestamp,
) -> Option<ReviewMark> {
    let taken_back = |by: &str| ReviewMark { at: now, approver: by.to_owned(), ..ReviewMark::default() };
    let stands = noted.filter(|mark| !mark.digest.is_empty());
    if let Some(author) = &role.spec.granted_by {
        return stands.map(|_| taken_back(author));
    }
    let (name, uid, namespace) = (role.name_any(), role.uid()?, role.namespace());
    let (digest, channels) = (role.spec.scope_digest(), role.spec.channels());
    let target = Target { kind: TargetKind::AccessRole, name: &name, uid: &uid, digest: &digest };
    let gives = |one: &Approval| {
        let given: BTreeSet<&String> = one.spec.target.channels.iter().collect();
        channels.iter().all(|channel| given.contains(channel))
    };
    let about = approvals.into_iter().filter(|one| {
        one.spec.target.namespace == namespace && (one.spec.decision == Decision::Deny || gives(one))
    });
    let tally = tally::count(about, &target, guarded_since, "", now);
    if let Some(denial) = &tally.denied {
        return stands.map(|_| taken_back(denial));
    }
    let given = tally.valid(now).into_iter();
    let newest = given.filter_map(|one| Some((one.at.parse::<Timestamp>().ok()?, one))).max()?;
    let (at, Approver { approver, approval, uid, .. }) = newest;
    let mark = ReviewMark { at, approver, approval, uid, digest };
    noted.is_none_or(|noted| noted.uid != mark.uid && noted.at <= mark.at).then_some(mark)
}

/// The condition Given.
pub(super) fn verdict(
    facts: Option<&GivenFacts>,
    fault: Option<&Fault>,
    role: &AccessRole,
) -> Option<Verdict> {
    let Some(GivenFacts { giver, unchecked }) = facts else {
        return fault.map(|fault| {
            Verdict::new(GIVEN, unknown_or_false(fault.reason), fault.reason, fault.message.clone())
        });
    };
    Some(match (giver, unchecked) {
        (Giver::Author(_), Some(fault)) => {
            Verdict::new(GIVEN, Truth::Unknown, fault.reason, fault.message.clone())
        }
        (Giver::Author(author), None) => {
            let message =
                format!("{author} gives it, who could grant each of its Channels when spec was last written");
            Verdict::new(GIVEN, Truth::True, Reason::AuthorMayGrant, message)
        }
        (Giver::Approver(mark), _) => {
            let message = format!(
                "{} gives it by Approval {}, and could grant each of its Channels when that was made; every change of spec has to be approved anew",
                mark.approver, mark.approval
            );
            Verdict::new(GIVEN, Truth::True, Reason::Approved, message)
        }
        (Giver::Nobody, _) => {
            let fault = awaits(role);
            Verdict::new(GIVEN, Truth::False, fault.reason, fault.message)
        }
    })
}

#[cfg(test)]
mod tests;
