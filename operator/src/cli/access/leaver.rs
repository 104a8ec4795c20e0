//! `subrosa access leaver`: what an AccessRevocation of a person would end, before there is one, and the AccessRevocation itself.

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;
use kube::{ResourceExt as _, api::ObjectMeta};
use serde::Serialize;
use subrosa_crds::{
    AccessRevocation, AccessRevocationSpec, Approval, TrustDomain,
    access_revocation::{RevocationReason, RevokedSubject},
    approval::Decision,
};
use subrosa_plan::roles::revoked;

use super::{Common, Format, is_none, seen::AccessObjects};
use crate::cli::{exit::Exit, harmless, output::Screen};

#[derive(Debug, clap::Args)]
pub struct LeaverArgs {
    /// The person, as the identity provider's tokens have them (claim spec.access.provider.userClaim)
    #[arg(value_name = "PERSON")]
    person: String,
    /// The same person as the API server knows them (kubectl auth whoami), where that is another name
    #[arg(long, value_name = "NAME")]
    kubernetes_user: Option<String>,
    /// A group of theirs, whose AccessRoles are listed; more than once for several
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    /// Only in this TrustDomain; more than once for several
    #[arg(long = "trust-domain", value_name = "NAME")]
    trust_domains: Vec<String>,
    /// Why
    #[arg(long, value_enum, default_value_t = Why::Exit)]
    reason: Why,
    /// The name of the AccessRevocation [default: leaver- and the time]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Make the AccessRevocation
    #[arg(long, conflicts_with = "files")]
    revoke: bool,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "PascalCase")]
enum Why {
    Exit,
    JobChange,
    Incident,
}

/// What one revocation would end.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Leaver {
    /// The person, as it was written.
    person: String,
    /// Where Vault is asked for their entities.
    trust_domains: Vec<AskedDomain>,
    /// What AccessGrants give them, or would.
    grants: Vec<String>,
    /// What AccessGrants that they asked for give others, or would.
    asked_for: Vec<String>,
    /// Approvals of theirs that count until they expire.
    approvals: Vec<String>,
    /// AccessRoles that name one of the groups that were given.
    roles: Vec<String>,
    /// AccessRevocations that name them already.
    standing: Vec<String>,
    /// What has to be made.
    #[serde(skip_serializing_if = "is_none")]
    revocation: Option<AccessRevocation>,
    /// What this does not say.
    notes: Vec<String>,
}

/// A TrustDomain with the auth mounts on which a person is looked for.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AskedDomain {
    /// Its name.
    name: String,
    /// The address of its Vault.
    vault: String,
    /// The auth mounts.
    mounts: Vec<String>,
    /// Other TrustDomains that have one of the mounts, so that the same entity is theirs.
    shared_with: Vec<String>,
}

impl Leaver {
    fn of(seen: &AccessObjects, revocation: &AccessRevocation, groups: &[String], now: Timestamp) -> Self {
        let subject = &revocation.spec.subject;
        let person = subject.user.clone().unwrap_or_default();
        let is_they = |user: &str| user.to_lowercase() == person.to_lowercase();
        let named =
            |namespace: Option<String>, name: &str| format!("{}/{name}", namespace.unwrap_or_default());
        let goes_on = |grant: &&subrosa_crds::AccessGrant| {
            let ended = grant.status.as_ref().and_then(|status| status.ends_at.as_ref());
            ended.and_then(|ends| ends.parse::<Timestamp>().ok()).is_none_or(|ends| ends > now)
        };
        let grants = || seen.grants.iter().filter(goes_on);
        let grant = |grant: &subrosa_crds::AccessGrant| {
            format!("{} of AccessRole {}", named(grant.namespace(), &grant.name_any()), grant.spec.role)
        };
        let approver = subject.approver().unwrap_or_default();
        let counts = |one: &&Approval| {
            let expires = one.spec.expires.parse::<Timestamp>();
            one.spec.decision == Decision::Approve
                && one.spec.approver.to_lowercase() == approver
                && expires.is_ok_and(|expires| expires > now)
        };
        let groups: Vec<String> = groups.iter().map(|group| group.to_lowercase()).collect();
        let has_group = |role: &&subrosa_crds::AccessRole| {
            let glass = role.spec.break_glass.as_ref().map(|glass| glass.group.to_lowercase());
            groups.iter().any(|group| role.spec.groups().contains(group) || glass.as_ref() == Some(group))
        };
        let names_them = |one: &&AccessRevocation| {
            one.spec.subject.user.as_deref().is_some_and(is_they) && !revoked::is_released(one)
        };
        let asked = seen.domains.iter().filter(|domain| revocation.spec.names_domain(&domain.name_any()));
        Self {
            trust_domains: asked.map(|domain| AskedDomain::of(domain, &seen.domains)).collect(),
            grants: grants().filter(|one| is_they(&one.spec.subject.user)).map(grant).collect(),
            asked_for: grants()
                .filter(|one| {
                    !is_they(&one.spec.subject.user) && one.spec.requested_by.to_lowercase() == approver
                })
                .map(grant)
                .collect(),
            approvals: seen
                .approvals
                .iter()
                .filter(counts)
                .map(|one| {
                    let target = &one.spec.target;
                    format!("{} of {} {}", one.name_any(), target.kind.as_str(), target.name)
                })
                .collect(),
            roles: seen
                .roles
                .iter()
                .filter(has_group)
                .map(|role| named(role.namespace(), &role.name_any()))
                .collect(),
            standing: seen.revocations.iter().filter(names_them).map(|one| one.name_any()).collect(),
            revocation: Some(revocation.clone()),
            notes: notes(groups.is_empty()),
            person,
        }
    }
}

impl AskedDomain {
    fn of(domain: &TrustDomain, all: &[TrustDomain]) -> Self {
        let mounts = revoked::shared::auth_mounts(domain);
        Self {
            name: domain.name_any(),
            vault: domain.spec.vault.address.clone(),
            shared_with: revoked::shared::sharing(domain, all).into_iter().collect(),
            mounts: mounts.into_iter().map(|mount| format!("auth/{mount}/")).collect(),
        }
    }
}

fn notes(no_groups: bool) -> Vec<String> {
    let mut notes = Vec::new();
    if no_groups {
        notes.push(
            "Which groups they are in is known to the identity provider alone: give those that you know with --group.".to_owned(),
        );
    }
    notes.push(
        "The cluster does not know which entities they have in Vault. An administrator of Vault sees them, and by which other auth mounts they \
         log in, which ends too: bao write identity/lookup/entity alias_name=PERSON alias_mount_accessor=ACCESSOR for each mount above."
            .to_owned(),
    );
    notes.push("Their sessions at the identity provider and at the API server end there.".to_owned());
    notes
}

/// The AccessRevocation of these arguments.
fn revocation(args: &LeaverArgs, now: Timestamp) -> Result<AccessRevocation> {
    let reason = match args.reason {
        Why::Exit => RevocationReason::Exit,
        Why::JobChange => RevocationReason::JobChange,
        Why::Incident => RevocationReason::Incident,
    };
    // Names of objects are read by many: none of a person.
    let name = args.name.clone().unwrap_or_else(|| format!("leaver-{}", now.strftime("%Y%m%d-%H%M%S")));
    let spec = AccessRevocationSpec {
        trust_domains: args.trust_domains.clone(),
        subject: RevokedSubject {
            user: Some(args.person.clone()),
            kubernetes_user: args.kubernetes_user.clone(),
            ..RevokedSubject::default()
        },
        reason,
        note: None,
    };
    let made = AccessRevocation {
        metadata: ObjectMeta { name: Some(name), ..ObjectMeta::default() },
        spec,
        status: None,
    };
    let value = serde_json::to_value(&made)?;
    match subrosa_crds::validate::validate_kind("AccessRevocation", &value).unwrap_or_default().first() {
        Some(violation) => bail!("{violation}"),
        None => Ok(made),
    }
}

/// Runs the command.
///
/// # Errors
/// When the cluster cannot be read, or refuses the AccessRevocation.
pub async fn run(args: &LeaverArgs, seen: &AccessObjects, screen: &mut Screen) -> Result<Exit> {
    let now = Timestamp::now();
    let wanted = revocation(args, now)?;
    for name in &args.trust_domains {
        if !seen.hidden.contains(&"TrustDomains") && !seen.domains.iter().any(|one| one.name_any() == *name) {
            bail!("--trust-domain: there is no TrustDomain {name}");
        }
    }
    let leaver = Leaver::of(seen, &wanted, &args.groups, now);
    match args.common.output {
        Format::Table => screen.print(&drawn(&leaver))?,
        Format::Json => screen.print(&format!("{}\n", serde_json::to_string_pretty(&leaver)?))?,
        Format::Yaml => screen.print(&crate::cli::stream(&[serde_json::to_value(&leaver)?])?)?,
    }
    if !args.revoke {
        if args.common.output == Format::Table {
            screen.print("\nMake this, or run the command again with --revoke:\n\n")?;
            screen.print(&crate::cli::stream(&[serde_json::to_value(&wanted)?])?)?;
        }
        return Ok(Exit::Done);
    }
    let cluster = args.common.target.connect().await?;
    let made = cluster.make(&wanted).await.context("the AccessRevocation was not made")?;
    screen.say(&format!(
        "made: kubectl get accessrevocation {name} says Revoked when everything has ended; to take it back, somebody else runs subrosa \
         approve accessrevocation/{name}",
        name = made.name_any()
    ))?;
    Ok(Exit::Done)
}

fn drawn(leaver: &Leaver) -> String {
    let mut text = String::new();
    let mut list = |what: &str, items: &[String]| {
        if items.is_empty() {
            text.push_str(&format!("{what}: none\n"));
            return;
        }
        text.push_str(&format!("{what}:\n"));
        for item in items {
            text.push_str(&format!("  {}\n", harmless(item)));
        }
    };
    let domains: Vec<String> = leaver.trust_domains.iter().map(told).collect();
    list(
        "Every entity with this alias is disabled in Vault, and nobody logs in by any alias of it",
        &domains,
    );
    list("AccessGrants that end", &leaver.grants);
    list("AccessGrants of others that end, since they asked for them", &leaver.asked_for);
    list("Approvals that count no more", &leaver.approvals);
    list("AccessRoles of the groups that were given", &leaver.roles);
    list("AccessRevocations that name them already", &leaver.standing);
    for note in &leaver.notes {
        text.push_str(note);
        text.push('\n');
    }
    text
}

fn told(domain: &AskedDomain) -> String {
    let shared = match domain.shared_with.as_slice() {
        [] => String::new(),
        others => {
            format!("; it ends in TrustDomain {} too, which has one of these mounts", others.join(", "))
        }
    };
    format!("TrustDomain {}: {} of {}{shared}", domain.name, domain.mounts.join(", "), domain.vault)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use serde_json::{Value, json};

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: LeaverArgs,
    }

    fn args(line: &[&str]) -> LeaverArgs {
        Line::try_parse_from(["leaver"].iter().chain(line)).map(|line| line.args).unwrap()
    }

    fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
        serde_json::from_value(value).unwrap()
    }

    fn seen() -> AccessObjects {
        let domain = |name: &str, mount: &str| {
            json!({
                "apiVersion": "subrosa.dev/v1alpha1", "kind": "TrustDomain", "metadata": {"name": name},
                "spec": {
                    "organisation": {"name": "Ziekenhuis", "country": "NL", "privacyContact": "privacy-office"},
                    "jurisdictions": ["NL"], "timeZone": "Europe/Amsterdam",
                    "vault": {
                        "address": "https://openbao.security.svc:8200",
                        "auth": {"kubernetes": {"mount": format!("kubernetes-{name}"), "role": "subrosa", "audience": "vault"}},
                    },
                    "retentionPolicies": ["contactcenter"], "network": {"clusterCIDRs": ["10.244.0.0/16"]},
                    "access": {
                        "provider": {"issuer": "https://login.example", "mount": mount},
                        "logins": [{"name": "strong", "acceptedAmr": ["mfa"]}],
                        "breakGlass": {"groups": ["on-call"], "acceptedAmr": ["hwk"]},
                    },
                },
            })
        };
        let grant = |name: &str, user: &str, by: &str, ends: Option<&str>| {
            json!({
                "apiVersion": "subrosa.dev/v1alpha1", "kind": "AccessGrant", "metadata": {"name": name, "namespace": "cc-front"},
                "spec": {"role": "reviewer", "subject": {"user": user}, "reason": "INC", "duration": "1h", "requestedBy": by},
                "status": {"endsAt": ends},
            })
        };
        let approval = |name: &str, by: &str, decision: &str, expires: &str| {
            json!({
                "apiVersion": "subrosa.dev/v1alpha1", "kind": "Approval", "metadata": {"name": name},
                "spec": {
                    "target": {"kind": "LegalHold", "name": "matter", "uid": "u", "digest": "d"},
                    "decision": decision, "approver": by, "expires": expires,
                },
            })
        };
        AccessObjects {
            domains: vec![
                read(domain("a", "people")),
                read(domain("b", "people")),
                read(domain("c", "others")),
            ],
            roles: vec![read(json!({
                "apiVersion": "subrosa.dev/v1alpha1", "kind": "AccessRole",
                "metadata": {"name": "reviewer", "namespace": "cc-front"},
                "spec": {
                    "login": "strong", "subjects": [{"group": "Quality"}],
                    "allow": [{"channels": ["voice"], "dataClasses": ["call-recording"], "actions": ["Open"]}],
                },
            }))],
            grants: vec![
                read(grant("hers", "ANNA", "oidc:bas", None)),
                read(grant("over", "anna", "oidc:bas", Some("2026-11-01T10:00:00Z"))),
                read(grant("of-others", "bas", "oidc:Anna", None)),
                read(grant("neither", "bas", "oidc:bas", None)),
            ],
            approvals: vec![
                read(approval("counts", "oidc:anna", "Approve", "2026-12-31T00:00:00Z")),
                read(approval("denies", "oidc:anna", "Deny", "2026-12-31T00:00:00Z")),
                read(approval("expired", "oidc:anna", "Approve", "2026-11-01T00:00:00Z")),
                read(approval("of-bas", "oidc:bas", "Approve", "2026-12-31T00:00:00Z")),
            ],
            ..AccessObjects::default()
        }
    }

    fn leaver(line: &[&str]) -> Leaver {
        let (args, now) = (args(line), "2026-11-22T10:00:00Z".parse().unwrap());
        Leaver::of(&seen(), &revocation(&args, now).unwrap(), &args.groups, now)
    }

    #[test]
    fn everything_that_would_end_is_listed_first() {
        let found = leaver(&["Anna", "--kubernetes-user", "oidc:anna", "--group", "quality"]);
        let domains: Vec<_> = found.trust_domains.iter().map(told).collect();
        assert_eq!(domains.len(), 3);
        assert!(
            domains[0].contains("auth/people/, auth/kubernetes-a/, auth/people-break-glass/"),
            "{domains:?}"
        );
        assert!(domains[0].contains("TrustDomain b too") && !domains[2].contains("too"), "{domains:?}");
        assert_eq!(found.grants, ["cc-front/hers of AccessRole reviewer"]);
        assert_eq!(found.asked_for, ["cc-front/of-others of AccessRole reviewer"]);
        assert_eq!(found.approvals, ["counts of LegalHold matter"]);
        assert_eq!(found.roles, ["cc-front/reviewer"]);
        let text = drawn(&found);
        assert!(text.contains("AccessRevocations that name them already: none"), "{text}");
        let made = serde_json::to_value(&found).unwrap();
        assert_eq!(made["revocation"]["metadata"]["name"], "leaver-20261122-100000");
        assert_eq!(made["revocation"]["spec"]["reason"], "Exit");
    }

    #[test]
    fn it_is_limited_to_trust_domains_and_refused_where_the_cluster_would() {
        let found = leaver(&["anna", "--trust-domain", "b", "--reason", "JobChange"]);
        assert_eq!(found.trust_domains.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["b"]);
        assert!(found.roles.is_empty() && found.notes[0].contains("--group"));
        let refused = revocation(&args(&["anna", "--name", "Not.A.Label"]), Timestamp::now()).unwrap_err();
        assert!(
            refused.to_string().contains("metadata.name") || refused.to_string().contains("DNS"),
            "{refused}"
        );
    }
}
