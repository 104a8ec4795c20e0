//! Whether connections with an external party are allowed today.

use jiff::{Timestamp, civil::Date};
use subrosa_crds::{ExternalParty, Reason, TrustDomain, external_party::PartyRole};

use crate::world::{World, bundle, domain};

/// How many days before its end an agreement is warned about.
pub const WARNING_DAYS: [i32; 3] = [30, 7, 1];

/// The standing of a party in one trust domain, on one day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Connections are allowed. `expires` is when that ends.
    Valid {
        /// The earliest last valid day, and what ends then.
        expires: Option<(Date, String)>,
    },
    /// An agreement or exception has expired.
    Expired {
        /// What expired.
        what: String,
        /// Its last valid day.
        on: Date,
    },
    /// An agreement that the law requires is missing.
    Missing {
        /// Its type.
        agreement: &'static str,
        /// The legal basis.
        basis: &'static str,
    },
    /// The party's declaration is invalid.
    Invalid {
        /// The reason.
        reason: Reason,
        /// The field.
        field: String,
        /// What is wrong and what to write instead.
        message: String,
    },
}

/// The standing of `party` in `domain` at `now`. `validUntil` is the last valid day in the domain's time zone.
pub fn judge(party: &ExternalParty, domain: &TrustDomain, world: &World, now: Timestamp) -> Standing {
    if let Some(invalid) = invalid(party, domain, world, now) {
        return invalid;
    }
    let today = domain::today(domain, now);
    if let Some(missing) = missing_agreement(party, domain) {
        return missing;
    }
    let agreements =
        party.spec.agreements.iter().map(|agreement| (agreement.type_.clone(), &agreement.valid_until));
    let exceptions = party
        .spec
        .tls
        .exception
        .iter()
        .map(|exception| (format!("exception for {}", exception.control), &exception.expires));
    let mut first: Option<(Date, String)> = None;
    for (what, until) in agreements.chain(exceptions) {
        // The schema checks only digits: 2027-02-31 passes it.
        let Ok(until) = until.parse::<Date>() else {
            return Standing::Invalid {
                reason: Reason::InvalidDate,
                field: "spec.agreements".into(),
                message: format!("{what}: {until:?} is no day of the calendar; write YYYY-MM-DD"),
            };
        };
        if first.as_ref().is_none_or(|(earliest, _)| until < *earliest) {
            first = Some((until, what));
        }
    }
    match first {
        Some((on, what)) if on < today => Standing::Expired { what, on },
        expires => Standing::Valid { expires },
    }
}

/// The agreements that the law requires: GDPR Art. 28(3); 45 CFR 164.502(e), 164.504(e).
fn missing_agreement(party: &ExternalParty, domain: &TrustDomain) -> Option<Standing> {
    if party.spec.role != PartyRole::Processor {
        return None;
    }
    let has = |kind: &str| party.spec.agreements.iter().any(|agreement| agreement.type_ == kind);
    let hipaa = domain.spec.frameworks.iter().any(|framework| framework == "HIPAA");
    if !has("DPA") {
        Some(Standing::Missing { agreement: "DPA", basis: "GDPR Art. 28(3)" })
    } else if hipaa && !has("BAA") {
        Some(Standing::Missing { agreement: "BAA", basis: "45 CFR 164.504(e)" })
    } else {
        None
    }
}

fn invalid(party: &ExternalParty, domain: &TrustDomain, world: &World, now: Timestamp) -> Option<Standing> {
    if let Some((range, why)) = forbidden_range(party, domain) {
        return Some(Standing::Invalid {
            reason: Reason::ForbiddenAddress,
            field: "spec.addresses.cidrs".into(),
            message: format!("{range} {why}; write only the party's own public ranges"),
        });
    }
    let Some(key) = &party.spec.tls.ca_bundle else { return None };
    let unusable = bundle::authorities(world, key, now).err()?;
    Some(Standing::Invalid {
        reason: unusable.reason(),
        field: "spec.tls.caBundle".into(),
        message: unusable.to_string(),
    })
}

/// The first address range that cannot belong to a party: the cluster's own, or special by RFC 6890.
fn forbidden_range(party: &ExternalParty, domain: &TrustDomain) -> Option<(String, String)> {
    const SPECIAL: [(&str, &str); 8] = [
        ("127.0.0.0/8", "is loopback (RFC 1122)"),
        ("169.254.0.0/16", "is link-local (RFC 3927)"),
        ("224.0.0.0/4", "is multicast (RFC 5771)"),
        ("0.0.0.0/8", "is unspecified (RFC 1122)"),
        ("::1/128", "is loopback (RFC 4291)"),
        ("::/128", "is unspecified (RFC 4291)"),
        ("fe80::/10", "is link-local (RFC 4291)"),
        ("ff00::/8", "is multicast (RFC 4291)"),
    ];
    for text in &party.spec.addresses.cidrs {
        let Ok(range) = text.parse::<ipnet::IpNet>() else {
            return Some((text.clone(), "is no range of addresses".into()));
        };
        let overlaps = |other: &str| {
            other.parse::<ipnet::IpNet>().is_ok_and(|other| other.contains(&range) || range.contains(&other))
        };
        if let Some((_, why)) = SPECIAL.iter().find(|(special, _)| overlaps(special)) {
            return Some((text.clone(), format!("overlaps what {why}")));
        }
        if let Some(own) = domain.spec.network.cluster_cidrs.iter().find(|own| overlaps(own)) {
            return Some((text.clone(), format!("overlaps {own} of TrustDomain spec.network.clusterCIDRs")));
        }
    }
    None
}

#[cfg(test)]
mod tests;
