//! A trust domain's settings, with defaults filled in.

use jiff::{SignedDuration, Timestamp, ToSpan as _, civil::Date, tz::TimeZone};
use subrosa_crds::{
    Reason, TrustDomain, WITHDRAW_ACCESS_FINALIZER, condition,
    period::Period,
    trust_domain::{NetworkMode, StagedNamespace},
    zone,
};

use super::fault::Fault;

/// Reasons of `VaultReachable` that concern workloads as much as the operator. (A refused login or a missing
/// permission concerns only the operator.)
const OUT_OF_REACH: [Reason; 3] = [Reason::VaultSealed, Reason::VaultUnreachable, Reason::VaultTimeout];

/// The time zone in which the domain's days begin and end.
///
/// # Errors
/// When no such time zone is known.
pub fn time_zone(domain: &TrustDomain) -> Result<TimeZone, jiff::Error> {
    zone::named(domain.spec.time_zone.as_deref().unwrap_or("UTC"))
}

/// The domain's day at `now`; in UTC where its time zone is unknown, which makes the domain Stalled.
pub fn today(domain: &TrustDomain, now: Timestamp) -> Date {
    time_zone(domain).unwrap_or(TimeZone::UTC).to_datetime(now).date()
}

/// When the domain's next day begins.
pub fn tomorrow(domain: &TrustDomain, now: Timestamp) -> Option<Timestamp> {
    let zone = time_zone(domain).unwrap_or(TimeZone::UTC);
    let tomorrow = today(domain, now).checked_add(1.day()).ok()?;
    Some(tomorrow.to_zoned(zone).ok()?.timestamp())
}

/// The cluster's DNS domain.
pub fn cluster_domain(domain: &TrustDomain) -> &str {
    domain.spec.cluster_domain.as_deref().unwrap_or("cluster.local")
}

/// The mount of the transit engine with the keys of data.
pub fn transit_mount(domain: &TrustDomain) -> &str {
    domain.spec.vault.mounts.as_ref().and_then(|mounts| mounts.transit.as_deref()).unwrap_or("transit")
}

/// The mount of the transit engine with the keys of certificate authorities.
pub fn authorities_mount(domain: &TrustDomain) -> String {
    let declared = domain.spec.vault.mounts.as_ref().and_then(|mounts| mounts.authorities.clone());
    declared.unwrap_or_else(|| format!("{}-ca", transit_mount(domain)))
}

/// The mount of the KV engine.
pub fn kv_mount(domain: &TrustDomain) -> &str {
    domain.spec.vault.mounts.as_ref().and_then(|mounts| mounts.kv.as_deref()).unwrap_or("subrosa")
}

/// The mount of Kubernetes auth, by which workloads log in too.
pub fn auth_mount(domain: &TrustDomain) -> &str {
    domain.spec.vault.auth.kubernetes.as_ref().and_then(|auth| auth.mount.as_deref()).unwrap_or("kubernetes")
}

/// The audience that a token of a ServiceAccount needs to log in, the operator's and the workloads'.
pub fn audience(domain: &TrustDomain) -> &str {
    domain.spec.vault.auth.kubernetes.as_ref().and_then(|auth| auth.audience.as_deref()).unwrap_or("vault")
}

/// Why no workload can reach its keys, while Vault is sealed or does not answer.
///
/// This reads a condition of the TrustDomain, whose controller asks Vault once for all Channels. Only the status of
/// Channels depends on it; nothing is made, opened or withdrawn because of it.
pub fn out_of_reach(domain: &TrustDomain) -> Option<Fault> {
    let status = domain.status.as_ref()?;
    let found = condition::find(&status.conditions, condition::VAULT_REACHABLE)?;
    let reason = Reason::of(found).filter(|reason| OUT_OF_REACH.contains(reason))?;
    (found.status == "False").then(|| Fault::new(reason, found.message.clone()))
}

/// Whether the domain has the finalizer that delays its deletion until access is withdrawn.
pub fn withdraws_access(domain: &TrustDomain) -> bool {
    domain.metadata.finalizers.iter().flatten().any(|one| one == WITHDRAW_ACCESS_FINALIZER)
}

/// How long one generation of a Channel's certificate authority is valid.
pub fn authority_duration(domain: &TrustDomain) -> &str {
    domain
        .spec
        .certificate_authority
        .as_ref()
        .and_then(|authority| authority.duration.as_deref())
        .unwrap_or("1y")
}

/// The lifetime of a generation that begins at `now`, by the calendar.
pub fn authority_life(domain: &TrustDomain, now: Timestamp) -> Option<SignedDuration> {
    let life: Period = authority_duration(domain).parse().ok()?;
    let today = today(domain, now);
    let days = (life.after(today).ok()? - today).get_days();
    Some(SignedDuration::from_hours(24 * i64::from(days)))
}

/// DNS suffixes that Channels may use beside their own Services.
pub fn allowed_suffixes(domain: &TrustDomain) -> &[String] {
    domain.spec.certificate_authority.as_ref().map_or(&[], |authority| &authority.allowed_dns_suffixes)
}

/// The staging entry of `namespace`.
pub fn staged<'a>(domain: &'a TrustDomain, namespace: &str) -> Option<&'a StagedNamespace> {
    domain.spec.network.staged.iter().find(|staged| staged.namespace == namespace)
}

/// Whether policies are written in `namespace` or only reported.
pub fn mode(domain: &TrustDomain, namespace: &str) -> NetworkMode {
    staged(domain, namespace).map_or(domain.spec.network.mode.unwrap_or_default(), |staged| staged.mode)
}

/// Whether namespaces where policies are written get a default deny.
pub fn default_deny(domain: &TrustDomain) -> bool {
    domain.spec.network.default_deny.unwrap_or(true)
}
