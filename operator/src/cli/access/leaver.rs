//! `subrosa access leaver`: what an AccessRevocation of a person or of a ServiceAccount would end, before there is one, and the
//! AccessRevocation itself.

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;
use kube::{ResourceExt as _, api::ObjectMeta};
use serde::Serialize;
use subrosa_crds::{
    AccessRevocation, AccessRevocationSpec, Approval, TrustDomain,
    access_revocation::{RevocationReason, RevokedAccount, RevokedSubject},
    approval::Decision,
};
use subrosa_plan::roles::{accounts, revoked};

use super::{Common, Format, is_none, seen::AccessObjects};
use crate::cli::{exit::Exit, harmless, output::Screen};

#[derive(Debug, clap::Args)]
pub struct LeaverArgs {
    /// The person, as the identity provider's tokens have them (claim spec.access.provider.userClaim)
    #[arg(value_name = "PERSON", required_unless_present = "service_account")]
    person: Option<String>,
    /// A ServiceAccount instead, which ends too when a machine or a program goes: NAME or NAMESPACE/NAME
    #[arg(long, value_name = "NAME", conflicts_with_all = ["person", "kubernetes_user", "groups"])]
    service_account: Option<String>,
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
    #[serde(skip_serializing_if = "is_none")]
    person: Option<String>,
    /// The ServiceAccount, with its namespace.
    #[serde(skip_serializing_if = "is_none")]
    service_account: Option<String>,
    /// Where Vault is asked for the person's entities, or where the ServiceAccount logs in for AccessRoles.
    trust_domains: Vec<AskedDomain>,
    /// What AccessGrants give them, or would.
    grants: Vec<String>,
    /// What AccessGrants that they asked for give others, or would.
    asked_for: Vec<String>,
    /// Approvals of theirs that count until they expire.
    approvals: Vec<String>,
    /// AccessRoles that name one of the groups that were given, or the ServiceAccount.
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
        if let Some(account) = &subject.service_account {
            return Self::of_account(seen, revocation, account);
        }
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
            person: Some(person),
            service_account: None,
        }
    }

    /// A ServiceAccount has no AccessGrants and no Approvals, and is nobody's group.
    fn of_account(seen: &AccessObjects, revocation: &AccessRevocation, account: &RevokedAccount) -> Self {
        let key = accounts::key(&account.namespace, &account.name);
        let named = seen
            .roles
            .iter()
            .filter(|role| role.spec.is_for_accounts() && accounts::named(role).contains(&key));
        let names_it = |one: &&AccessRevocation| {
            one.spec.subject.service_account.as_ref() == Some(account) && !revoked::is_released(one)
        };
        let asked = seen.domains.iter().filter(|domain| revocation.spec.names_domain(&domain.name_any()));
        let workload = seen.channels.iter().filter(|channel| {
            let own = channel.spec.workload.service_account_name.as_ref();
            channel.namespace().as_ref() == Some(&account.namespace) && own == Some(&account.name)
        });
        let mut notes = vec![
            "It opens nothing with its next request, in every session, and nor does one that is made anew under its name. It goes on logging in."
                .to_owned(),
        ];
        notes.extend(workload.map(|channel| {
            format!(
                "It is the workload of Channel {}/{} too: what that may seal and open goes on. Delete the ServiceAccount, or name another one in \
                 spec.workload.serviceAccountName.",
                account.namespace,
                channel.name_any()
            )
        }));
        notes.push("Its tokens at the API server, and what RBAC gives it beside AccessRoles, go on until somebody ends them there.".to_owned());
        Self {
            person: None,
            trust_domains: asked.filter_map(AskedDomain::of_accounts).collect(),
            grants: Vec::new(),
            asked_for: Vec::new(),
            approvals: Vec::new(),
            roles: named
                .map(|role| format!("{}/{}", role.namespace().unwrap_or_default(), role.name_any()))
                .collect(),
            standing: seen.revocations.iter().filter(names_it).map(|one| one.name_any()).collect(),
            revocation: Some(revocation.clone()),
            notes,
            service_account: Some(key),
        }
    }
}

impl AskedDomain {
    /// Where ServiceAccounts log in for AccessRoles, if they do. Slots are a TrustDomain's own, so no other is hit.
    fn of_accounts(domain: &TrustDomain) -> Option<Self> {
        let login = domain.spec.access.as_ref().and_then(accounts::access)?;
        Some(Self {
            name: domain.name_any(),
            vault: domain.spec.vault.address.clone(),
            mounts: vec![format!("auth/{}/", login.provider.mount())],
            shared_with: Vec::new(),
        })
    }

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

/// The AccessRevocation of these arguments; a ServiceAccount without a namespace is of `namespace`.
fn revocation(args: &LeaverArgs, namespace: &str, now: Timestamp) -> Result<AccessRevocation> {
    let reason = match args.reason {
        Why::Exit => RevocationReason::Exit,
        Why::JobChange => RevocationReason::JobChange,
        Why::Incident => RevocationReason::Incident,
    };
    // Names of objects are read by many: none of a person.
    let name = args.name.clone().unwrap_or_else(|| format!("leaver-{}", now.strftime("%Y%m%d-%H%M%S")));
    let account = args.service_account.as_ref().map(|account| {
        let (namespace, name) = account.split_once('/').unwrap_or((namespace, account));
        RevokedAccount { namespace: namespace.to_owned(), name: name.to_owned() }
    });
    let spec = AccessRevocationSpec {
        trust_domains: args.trust_domains.clone(),
        subject: RevokedSubject {
            user: args.person.clone(),
            service_account: account,
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
pub async fn run(
    args: &LeaverArgs,
    seen: &AccessObjects,
    namespace: &str,
    screen: &mut Screen,
) -> Result<Exit> {
    let now = Timestamp::now();
    let wanted = revocation(args, namespace, now)?;
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
    if leaver.service_account.is_some() {
        list("Its entity is a member of no slot any more, of logins at", &domains);
        list("AccessRoles that give it nothing any more", &leaver.roles);
        list("AccessRevocations that name it already", &leaver.standing);
    } else {
        list(
            "Every entity with this alias is disabled in Vault, and nobody logs in by any alias of it",
            &domains,
        );
        list("AccessGrants that end", &leaver.grants);
        list("AccessGrants of others that end, since they asked for them", &leaver.asked_for);
        list("Approvals that count no more", &leaver.approvals);
        list("AccessRoles of the groups that were given", &leaver.roles);
        list("AccessRevocations that name them already", &leaver.standing);
    }
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
mod tests;
