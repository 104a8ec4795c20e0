//! `subrosa approve` and `subrosa deny`: show the object, ask, and create an Approval in the user's own name.

mod access_grant;
mod access_revocation;
mod access_role;
mod adoption;
mod break_glass;
mod destruction;
mod made;
mod scope;
mod target;
#[cfg(test)]
mod tests;

use std::io::{self, BufRead, IsTerminal as _};

use anyhow::{Context as _, Result, anyhow, bail};
use jiff::Timestamp;
use kube::ResourceExt as _;
use subrosa_crds::{Approval, approval::Decision};

use super::{
    OPERATOR_NAMESPACE,
    cluster::{ClusterClient, ClusterTarget},
    ends::EndObjects,
    exit::Exit,
    explain::page::Page,
    harmless,
    output::Screen,
};
use scope::{ApprovalScope, Decider};
pub use target::Named;

const APPROVE_EXAMPLES: &str = "\
Examples:
  kubectl get destructions                                     # what waits for people
  subrosa approve destruction/contactcenter.20270201.1a2b3c4d  # shows what would be destroyed, and asks
  subrosa approve legalhold/matter-2026-114                    # that it ends, where spec.released is true
  subrosa approve retentionpolicy/contactcenter                # that its weaker rules bind
  subrosa approve trustdomain/oosterlinde                      # that destruction goes on after a restore
  subrosa approve adoption/cc-front                            # that Channels open what earlier ones sealed
  subrosa approve accessrole/cc-front/recording-reviewer       # that people may open what it says, or still may
  subrosa approve breakglass/cc-front/recording-reviewer       # that who opened it in an emergency was right to
  subrosa approve accessgrant/cc-front/inc-4411                # that somebody gets what they asked for
  subrosa approve accessrevocation/leaver-2026-114             # that what was revoked is given again
  subrosa approve dst/contactcenter.20270201.1a2b3c4d -o yaml  # prints the Approval and makes nothing

An Approval is in your own name, is never edited and never stands in Git.";

const DENY_EXAMPLES: &str = "\
Examples:
  subrosa deny destruction/contactcenter.20270201.1a2b3c4d                # brings back what was set aside
  subrosa deny destruction/contactcenter.20270201.1a2b3c4d --expires 90d  # for longer; a LegalHold holds without end
  subrosa deny legalhold/matter-2026-114                                  # the hold stays
  subrosa deny adoption/cc-front                                          # takes back what it lets Channels open

One denial that has not expired stops what others approved.";

/// Approves, in your own name: a Destruction, the end of a LegalHold, a RetentionPolicy, the end of a freeze, an Adoption, an AccessRole, uses of its break-glass, an AccessGrant or the end of an AccessRevocation
#[derive(Debug, clap::Args)]
#[command(after_help = APPROVE_EXAMPLES)]
pub struct ApproveArgs {
    #[command(flatten)]
    common: Args,
}

/// Denies, in your own name, what others may approve
#[derive(Debug, clap::Args)]
#[command(after_help = DENY_EXAMPLES)]
pub struct DenyArgs {
    #[command(flatten)]
    common: Args,
}

#[derive(Debug, clap::Args)]
struct Args {
    /// What: destruction/NAME, legalhold/NAME, retentionpolicy/NAME, trustdomain/NAME, adoption/NAME, accessrole/NAMESPACE/NAME,
    /// accessgrant/NAMESPACE/NAME, accessrevocation/NAME, or breakglass/NAMESPACE/NAME for uses of break-glass of an AccessRole
    #[arg(value_name = "KIND/NAME")]
    object: Named,
    /// Until when it counts: a period such as 14d, or an instant such as 2027-02-14T17:00:00Z
    #[arg(long, default_value = "14d", value_name = "PERIOD|INSTANT")]
    expires: String,
    /// Do not ask; for scripts that showed it to somebody before
    #[arg(short, long)]
    yes: bool,
    /// Only show and print the Approval, and make nothing
    #[arg(long, value_enum, value_name = "client", require_equals = true, num_args = 0..=1, default_missing_value = "client")]
    dry_run: Option<DryRun>,
    /// Print the Approval in this format, and make nothing
    #[arg(short, long, value_enum)]
    output: Option<Format>,
    /// The namespace of the operator and the destroyer
    #[arg(long, default_value = OPERATOR_NAMESPACE, value_name = "NAMESPACE")]
    operator_namespace: String,
    #[command(flatten)]
    target: ClusterTarget,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum DryRun {
    Client,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Yaml,
    Json,
}

/// Runs `subrosa approve`.
///
/// # Errors
/// When the cluster cannot be read or refuses the Approval.
pub async fn approve(args: &ApproveArgs, screen: &mut Screen) -> Result<Exit> {
    run(&args.common, Decision::Approve, screen).await
}

/// Runs `subrosa deny`.
///
/// # Errors
/// When the cluster cannot be read or refuses the Approval.
pub async fn deny(args: &DenyArgs, screen: &mut Screen) -> Result<Exit> {
    run(&args.common, Decision::Deny, screen).await
}

async fn run(args: &Args, decision: Decision, screen: &mut Screen) -> Result<Exit> {
    let prints = args.output.is_some() || args.dry_run.is_some();
    let asks = !prints && !args.yes;
    if asks && !is_terminal() {
        bail!(
            "nobody can be asked, for this is no terminal: --yes decides without asking, -o yaml prints the Approval"
        );
    }
    let now = Timestamp::now();
    let expires = made::expiry(&args.expires, now).map_err(anyhow::Error::msg)?;
    let cluster = args.target.connect().await?;
    let user = cluster.user().await?;
    is_person(&user)?;
    let seen = EndObjects::read(&cluster, &args.operator_namespace).await?;
    let by = Decider { user: &user, decision, expires, now };
    let (mut scope, page) = shown(&args.object, &seen, by, screen)?;
    if scope.refusal.is_none() {
        scope.refusal = access_role::not_grantable(&cluster, &scope.target).await?;
    }
    if prints {
        screen.say(&page)?
    } else {
        screen.print(&page)?
    }
    if let Some(refusal) = &scope.refusal {
        screen.say(&format!("{}: {}", screen.paint_said().bad("error"), harmless(refusal)))?;
        return Ok(Exit::Wrong);
    }
    let approval = made::approval(scope.target.clone(), decision, &user, expires, rand::random());
    if prints {
        let value = serde_json::to_value(&approval)?;
        screen.print(&match args.output {
            Some(Format::Json) => format!("{}\n", serde_json::to_string_pretty(&value)?),
            Some(Format::Yaml) | None => super::stream(&[value])?,
        })?;
        return Ok(Exit::Done);
    }
    if asks && !agreed(&question(&scope, by), &mut io::stdin().lock(), screen)? {
        screen.say("nothing was made")?;
        return Ok(Exit::Wrong);
    }
    make(&cluster, &approval).await?;
    let seen = EndObjects::read(&cluster, &args.operator_namespace).await?;
    screen.print(&after(&approval, &scope, &seen, by))?;
    Ok(Exit::Done)
}

fn shown(
    named: &Named,
    seen: &EndObjects,
    by: Decider<'_>,
    screen: &Screen,
) -> Result<(ApprovalScope, String)> {
    let mut page = Page::new(screen.paint());
    let scope = scope::of(named, seen, by, &mut page)?;
    Ok((scope, page.text()))
}

/// # Errors
/// Where the API server takes us for no person.
fn is_person(user: &str) -> Result<()> {
    if user.starts_with("system:") {
        bail!(
            "you are {}, and a person decides: no ServiceAccount, node or component of the cluster; use a kubeconfig with a \
             login of your own (kubectl auth whoami shows who you are)",
            harmless(user)
        );
    }
    Ok(())
}

fn question(scope: &ApprovalScope, by: Decider<'_>) -> String {
    let verb = match by.decision {
        Decision::Approve => "Approve",
        Decision::Deny => "Deny",
    };
    let what = format!("{} {}", scope.target.kind.as_str(), scope.target.name);
    format!("{verb} {what} as {}, until {}?", harmless(by.user), by.expires)
}

/// Whether a person can read and answer the question.
fn is_terminal() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Whether the answer is a full yes, which no accidental key press gives.
fn agreed(question: &str, answers: &mut impl BufRead, screen: &mut Screen) -> Result<bool> {
    screen.say(&format!("{question} Write yes, or anything else to make nothing:"))?;
    let mut answer = String::new();
    answers.read_line(&mut answer).context("the answer cannot be read")?;
    Ok(answer.trim() == "yes")
}

async fn make(cluster: &ClusterClient, approval: &Approval) -> Result<()> {
    match cluster.make(approval).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Err(anyhow!(
            "the cluster does not know approvals.subrosa.dev: install them with: subrosa crds | kubectl apply --server-side -f -"
        )),
        Err(kube::Error::Api(status)) => {
            Err(anyhow!("the Approval was refused: {}", harmless(&status.message)))
        }
        Err(error) => Err(anyhow::Error::new(error).context(
            "whether the Approval was made is not known; see: kubectl get approvals, before you decide again",
        )),
    }
}

/// The state after the Approval, and the next step.
fn after(approval: &Approval, scope: &ApprovalScope, seen: &EndObjects, by: Decider<'_>) -> String {
    let name = approval.name_any();
    let namespace = scope.target.namespace.iter().map(|namespace| format!("{namespace}/"));
    let namespace: String = namespace.collect();
    let what = format!("{}/{namespace}{}", scope.target.kind.as_str(), scope.target.name);
    let mut text = format!("\nApproval {name} is made; it counts until {}.\n", by.expires);
    if by.decision == Decision::Approve {
        let tally = seen.tally(&scope.counted(), scope.domain.as_deref(), by.now);
        text.push_str(&format!("{} approve.\n", harmless(&scope::people(&tally, scope.needed, by.now))));
        if let Some(denied) = &tally.denied {
            text.push_str(&format!(
                "Approval {} denies it: nothing happens until it expires.\n",
                harmless(denied)
            ));
            return text;
        }
        if scope.needed.is_some_and(|needed| !tally.is_enough(needed, by.now)) {
            text.push_str(&format!("More people have to: subrosa approve {}\n", harmless(&what)));
            return text;
        }
    }
    text.push_str(&harmless(&scope.outcome));
    text.push('\n');
    text
}
