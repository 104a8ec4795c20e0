//! The status of an ExternalParty.

use std::sync::Arc;

use jiff::{Timestamp, civil::Date};
use subrosa_crds::{
    ExternalParty, ExternalPartyStatus, Reason, TrustDomain,
    condition::{self, Truth, Verdict},
};

use crate::{
    consent::party::{self, Standing, WARNING_DAYS},
    world::{World, domain},
};

/// The status of `party`: the worst of all trust domains.
pub fn status(party: &ExternalParty, world: &World, now: Timestamp) -> ExternalPartyStatus {
    let standings = standings(party, world, now);
    let worst = worst(&standings);
    let mut verdicts = worst.map_or_else(no_domain, |(domain, standing)| verdicts(domain, standing, now));
    if let (Some(left_out), Some(ready)) = (left_out(party, world, now), verdicts.first_mut())
        && ready.truth == Truth::True
    {
        ready.message.push_str(&left_out);
    }
    let valid_until = standings
        .iter()
        .filter_map(|(_, standing)| match standing {
            Standing::Valid { expires } => expires.as_ref().map(|(on, _)| *on),
            Standing::Expired { on, .. } => Some(*on),
            _ => None,
        })
        .min();
    let old = party.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    ExternalPartyStatus {
        observed_generation: party.metadata.generation,
        valid_until: valid_until.map(|day| day.to_string()),
        conditions: condition::conditions(verdicts, old, party.metadata.generation, now),
    }
}

/// Whether the agreements of `party` deserve an Event: when one is about to expire, has expired or is missing, and
/// again on each of [`WARNING_DAYS`].
pub fn is_news(party: &ExternalParty, status: &ExternalPartyStatus, world: &World, now: Timestamp) -> bool {
    let standings = standings(party, world, now);
    let days = match worst(&standings) {
        Some((domain, Standing::Valid { expires: Some((on, _)) })) => Some(days_left(domain, *on, now)),
        Some((_, Standing::Expired { .. } | Standing::Missing { .. })) => None,
        _ => return false,
    };
    if days.is_some_and(|days| days > WARNING_DAYS[0]) {
        return false;
    }
    let said = |conditions| condition::find(conditions, condition::AGREEMENTS_VALID);
    let before = party.status.as_ref().and_then(|old| said(&old.conditions));
    let (Some(before), Some(after)) = (before, said(&status.conditions)) else { return true };
    // The message has the day, so this is true once a day.
    let changed = before.message != after.message;
    before.reason != after.reason || (changed && days.is_some_and(|days| WARNING_DAYS.contains(&days)))
}

/// Which certificates of its bundle have no effect and are left out.
fn left_out(party: &ExternalParty, world: &World, now: Timestamp) -> Option<String> {
    let at = party.spec.tls.ca_bundle.as_ref()?;
    let left_out = world.bundles.get(at)?.left_out(now)?;
    Some(format!("; left out of key {} of ConfigMap {}: {left_out}", at.key, at.config_map))
}

type Judged<'w> = (&'w Arc<TrustDomain>, Standing);

fn standings<'w>(party: &ExternalParty, world: &'w World, now: Timestamp) -> Vec<Judged<'w>> {
    world.domains.values().map(|domain| (domain, party::judge(party, domain, world, now))).collect()
}

fn worst<'a, 'w>(standings: &'a [Judged<'w>]) -> Option<&'a Judged<'w>> {
    standings.iter().max_by_key(|(_, standing)| severity(standing))
}

fn days_left(domain: &TrustDomain, on: Date, now: Timestamp) -> i32 {
    (on - domain::today(domain, now)).get_days()
}

fn severity(standing: &Standing) -> u8 {
    match standing {
        Standing::Valid { .. } => 0,
        Standing::Expired { .. } => 1,
        Standing::Missing { .. } => 2,
        Standing::Invalid { .. } => 3,
    }
}

fn no_domain() -> Vec<Verdict> {
    let message = "there is no TrustDomain in which this party could be judged: apply one";
    vec![
        Verdict::new(condition::READY, Truth::False, Reason::NoTrustDomain, message),
        Verdict::new(condition::AGREEMENTS_VALID, Truth::Unknown, Reason::NoTrustDomain, message),
    ]
}

fn verdicts(domain: &TrustDomain, standing: &Standing, now: Timestamp) -> Vec<Verdict> {
    let ready = |truth, reason: Reason, message: &str| Verdict::new(condition::READY, truth, reason, message);
    let agreements = |truth, reason: Reason, message: &str| {
        Verdict::new(condition::AGREEMENTS_VALID, truth, reason, message)
    };
    match standing {
        Standing::Valid { expires } => {
            let left = expires.as_ref().map(|(on, what)| (days_left(domain, *on, now), on, what));
            match left {
                Some((days, on, what)) if days <= WARNING_DAYS[0] => {
                    let message = format!(
                        "{what} is valid until {on}, {days} more days: renew it, or every connection closes the day after"
                    );
                    vec![
                        ready(Truth::True, Reason::InForce, "connections that both ends declare are open"),
                        agreements(Truth::True, Reason::AgreementExpiring, &message),
                    ]
                }
                Some((_, on, what)) => vec![
                    ready(Truth::True, Reason::InForce, "connections that both ends declare are open"),
                    agreements(
                        Truth::True,
                        Reason::AgreementsValid,
                        &format!("the first to end is {what}, valid until {on}"),
                    ),
                ],
                None => vec![
                    ready(Truth::True, Reason::InForce, "connections that both ends declare are open"),
                    agreements(
                        Truth::True,
                        Reason::NoneNeeded,
                        "no agreement is declared, and none is needed for this role",
                    ),
                ],
            }
        }
        Standing::Expired { what, on } => {
            let message = format!(
                "{what} was valid until {on}: every connection is closed; renew it and set validUntil"
            );
            vec![
                ready(Truth::False, Reason::AgreementExpired, &message),
                agreements(Truth::False, Reason::AgreementExpired, &message),
            ]
        }
        Standing::Missing { agreement, basis } => {
            let message = format!(
                "a Processor needs a {agreement} ({basis}): add {{type: {agreement}, validUntil: …}} to spec.agreements"
            );
            vec![
                ready(Truth::False, Reason::AgreementMissing, &message),
                agreements(Truth::False, Reason::AgreementMissing, &message),
            ]
        }
        Standing::Invalid { reason, field, message } => {
            let message = format!("{field}: {message}");
            vec![
                ready(Truth::False, *reason, &message),
                agreements(Truth::Unknown, Reason::NotJudged, "the party is declared wrongly: see Stalled"),
                Verdict::new(condition::STALLED, Truth::True, *reason, message),
            ]
        }
    }
}

#[cfg(test)]
mod tests;
