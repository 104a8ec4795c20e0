//! What single persons can open by AccessGrants, for a time.

use kube::ResourceExt as _;
use subrosa_crds::{AccessGrant, Reason, access_role::AccessAction, condition};

use super::{
    openings::{Asked, Opening, is_asked},
    seen::AccessObjects,
};

/// Each class that an AccessGrant opens, or would. Those that are over are left out.
pub fn openings(seen: &AccessObjects, asked: &Asked) -> Vec<Opening> {
    seen.grants.iter().filter(|grant| is_of(grant, asked)).flat_map(|grant| of(seen, grant, asked)).collect()
}

fn is_of(grant: &AccessGrant, asked: &Asked) -> bool {
    match asked {
        Asked::Channel { .. } => true,
        Asked::Group { .. } | Asked::Account { .. } => false,
        Asked::User { user } => grant.spec.subject.user.to_lowercase() == user.to_lowercase(),
    }
}

fn of(seen: &AccessObjects, grant: &AccessGrant, asked: &Asked) -> Vec<Opening> {
    let namespace = grant.namespace().unwrap_or_default();
    let is_it = |role: &&subrosa_crds::AccessRole| {
        role.namespace().as_deref() == Some(&namespace) && role.name_any() == grant.spec.role
    };
    let (Some(role), Some((state, gives))) = (seen.roles.iter().find(is_it), state(seen, grant)) else {
        return Vec::new();
    };
    let login = seen.login(&namespace, &role.spec.login);
    let ends = grant.status.as_ref().and_then(|status| status.ends_at.clone());
    let opens = role.spec.opens().into_iter();
    let opens = opens.filter(|(channel, class)| is_asked(asked, &namespace, channel, class));
    let opening = |(channel, data_class)| Opening {
        group: String::new(),
        service_account: None,
        user: Some(grant.spec.subject.user.clone()),
        until: ends.clone(),
        namespace: namespace.clone(),
        channel,
        data_class,
        action: AccessAction::Open,
        login: role.spec.login.clone(),
        accepted_amr: login.as_ref().map(|login| login.accepted_amr.clone()).unwrap_or_default(),
        accepted_acr: login.as_ref().map(|login| login.accepted_acr.clone()).unwrap_or_default(),
        no_second_factor_until: login
            .as_ref()
            .and_then(|login| login.exception.as_ref())
            .map(|exception| exception.expires.clone()),
        session: login.as_ref().map(|login| login.ttl().to_owned()),
        role: role.name_any(),
        state: state.clone(),
        gives,
    };
    opens.map(opening).collect()
}

/// The state of a grant as one word, and whether it gives; none where it is over.
fn state(seen: &AccessObjects, grant: &AccessGrant) -> Option<(String, bool)> {
    if !seen.is_live {
        return Some((Reason::AwaitingApproval.as_str().to_owned(), false));
    }
    let status = grant.status.as_ref();
    let ready = status.and_then(|status| condition::find(&status.conditions, condition::READY));
    match ready {
        None => Some((Reason::WorkUnderWay.as_str().to_owned(), false)),
        Some(ready) if ready.status == "False" && status.is_some_and(|status| status.ends_at.is_some()) => {
            None
        }
        Some(ready) => Some((ready.reason.clone(), ready.status == "True")),
    }
}
