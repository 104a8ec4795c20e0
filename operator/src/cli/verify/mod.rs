//! `subrosa verify`: checks that the record of a Destruction is complete and consistent.

mod check;
#[cfg(test)]
mod tests;

use anyhow::{Context as _, Result, bail};
use kube::ResourceExt as _;
use subrosa_crds::{Approval, Destruction, TrustDomain, approval::TargetKind};

use super::{
    approve::Named,
    cluster::ClusterTarget,
    exit::Exit,
    harmless,
    manifest::{self, Sources},
    output::{Paint, Screen},
    words,
};
use check::{Beside, problems};

const EXAMPLES: &str = "\
Examples:
  subrosa verify destruction/contactcenter.20270201.1a2b3c4d   # with Approvals and TrustDomain of the cluster
  kubectl get destruction contactcenter.20270201.1a2b3c4d -o yaml > record.yaml
  kubectl get approvals -o yaml > approvals.yaml
  subrosa verify -f record.yaml -f approvals.yaml              # offline, years later";

/// What files alone cannot prove.
const UNKNOWN: &str = "\
Not looked at, for no record tells it: that the canaries do not open (ask Vault: it has no such key), that snapshots of Vault
and copies of its disk are gone when they are declared to be, and that nobody who may write to the cluster's own store wrote
this record.";

/// Checks the record of a Destruction that is finished
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
#[group(id = "what", required = true, multiple = true, args = ["object", "files"])]
pub struct Args {
    /// The Destruction in the cluster, as destruction/NAME; with -f, the one of the files that is meant
    #[arg(value_name = "KIND/NAME")]
    object: Option<Named>,
    #[command(flatten)]
    sources: Sources,
    #[command(flatten)]
    target: ClusterTarget,
}

/// Runs the command.
///
/// # Errors
/// When files or the cluster cannot be read, or have no Destruction.
pub async fn run(args: &Args, screen: &mut Screen) -> Result<Exit> {
    if args.object.as_ref().is_some_and(|named| named.kind != TargetKind::Destruction) {
        bail!("a Destruction has a record: expected destruction/NAME");
    }
    let name = args.object.as_ref().map(|named| named.name.as_str());
    let read = match name {
        Some(name) if args.sources.files.is_empty() => of_cluster(args, name).await?,
        _ => of_files(&args.sources, name, screen)?,
    };
    let mut exit = Exit::Done;
    for record in &read.records {
        let domain = read.domains.iter().find(|domain| domain.name_any() == record.spec.trust_domain);
        let beside = Beside { approvals: read.approvals.as_deref(), domain };
        let problems = problems(record, beside);
        if !problems.is_empty() {
            exit = Exit::Wrong;
        }
        let text = told(record, beside, &problems, screen.paint());
        screen.print(&text)?;
    }
    screen.say(UNKNOWN)?;
    Ok(exit)
}

/// What is looked at.
#[derive(Default)]
struct Read {
    records: Vec<Destruction>,
    /// None where none were given.
    approvals: Option<Vec<Approval>>,
    domains: Vec<TrustDomain>,
}

async fn of_cluster(args: &Args, name: &str) -> Result<Read> {
    let cluster = args.target.connect().await?;
    let record = cluster.get::<Destruction>(name).await?;
    let record = record.with_context(|| {
        format!("there is no Destruction {name}; see: kubectl get destructions, or give its file with -f")
    })?;
    Ok(Read {
        records: vec![record],
        approvals: cluster.list_known().await?,
        domains: cluster.list_known().await?.unwrap_or_default(),
    })
}

fn of_files(sources: &Sources, name: Option<&str>, screen: &Screen) -> Result<Read> {
    let (manifests, findings) = manifest::read(sources)?;
    if let Some(first) = findings.first() {
        bail!("{}", first.text(screen.paint_said()));
    }
    let mut read = Read::default();
    for manifest in manifests.iter().filter(|manifest| manifest.is_ours()) {
        match manifest.kind.as_str() {
            "Destruction" if name.is_none_or(|name| name == manifest.name) => {
                read.records.push(manifest.read()?);
            }
            "Approval" => read.approvals.get_or_insert_default().push(manifest.read()?),
            "TrustDomain" => read.domains.push(manifest.read()?),
            _ => {}
        }
    }
    if read.records.is_empty() {
        bail!("the files hold no such Destruction: kubectl get destruction NAME -o yaml writes one");
    }
    Ok(read)
}

fn told(record: &Destruction, beside: Beside<'_>, problems: &[String], paint: Paint) -> String {
    let status = record.status.clone().unwrap_or_default();
    let title = harmless(&format!("Destruction {}", record.name_any()));
    if !problems.is_empty() {
        let count = words::counted(problems.len(), "problem");
        let mut text = format!("{}: {}\n", paint.bold(&title), paint.bad(&count));
        for problem in problems {
            text.push_str(&format!("  {}\n", harmless(problem)));
        }
        return text;
    }
    let names: Vec<_> = status.approved_by.iter().map(|one| one.approver.as_str()).collect();
    let mut lines = vec![
        format!(
            "{} destroyed, due on {} under RetentionPolicy {}",
            words::counted(record.spec.keys.len(), "key"),
            record.spec.due,
            record.spec.retention_policy.name
        ),
        format!("approved by {}", names.join(", ")),
        format!("the last key was gone at {}", status.destroyed_at.as_deref().unwrap_or_default()),
        match &status.effective_at {
            Some(at) => format!("effective everywhere at {at}, as far as the snapshots are as declared"),
            None => "when it is effective everywhere is not known: no retention of snapshots was declared"
                .to_owned(),
        },
        "the digest is that of the list, every key has its canary, and the times are in order".to_owned(),
    ];
    lines.push(match beside.approvals {
        Some(_) => {
            "each Approval is there, says the same, and was valid when the first key was set aside".to_owned()
        }
        None => "the Approvals were not given: give them with -f to have them compared".to_owned(),
    });
    if beside.domain.is_none() {
        lines.push("the TrustDomain was not given: time zone and snapshots were not compared".to_owned());
    }
    let mut text = format!("{}: {}\n", paint.bold(&title), paint.good("no problem found"));
    for line in lines {
        text.push_str(&format!("  {}\n", harmless(&line)));
    }
    text
}
