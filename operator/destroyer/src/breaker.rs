//! Applies the breaker to what was read in this look.

use std::collections::BTreeSet;

use kube::ResourceExt as _;
use subrosa_crds::destruction::ListedKey;
use subrosa_plan::{
    destruction::{
        breaker::{self, Ready},
        order::Orders,
    },
    record::destroyer::Frozen,
};

use crate::{
    domain::LookTerms,
    survey::{KeySurvey, KnownKey},
};

/// The freeze, and the UIDs of the lists that caused it, where more than `percent` of all keys could be set aside now.
pub fn trips(
    orders: &Orders<'_>,
    bound: &LookTerms,
    survey: &KeySurvey,
    percent: u64,
) -> Option<(Frozen, BTreeSet<String>)> {
    let may_begin = |key: &&ListedKey| {
        let name = key.key_name().parse().ok();
        name.and_then(|name| survey.keys.get(&name)).is_some_and(KnownKey::may_begin)
    };
    let approved: Vec<_> = orders.all().iter().filter(|order| order.may_begin(bound.now)).collect();
    let names: Vec<_> = approved.iter().map(|order| order.destruction.name_any()).collect();
    let ready: Vec<_> = approved
        .iter()
        .zip(&names)
        .map(|(order, name)| {
            let keys = order.destruction.spec.keys.iter().filter(may_begin).count();
            Ready { uid: order.uid(), name, keys: u64::try_from(keys).unwrap_or(u64::MAX) }
        })
        .collect();
    breaker::trips(&bound.record, &ready, survey.count(), percent, bound.now)
}
