//! `subrosa render`: what manifests would become, without a cluster.
//!
//! ```text
//!  files ──▶ manifest::read ──▶ given::sort ──▶ world::imagine ──▶ check, roles::check, grants::check, channels::plan
//!                 │                 │ schema, CEL      │ assumptions          │ the operator's own decisions
//!                 └──────── findings: errors and notes, each with file:line ──┘
//!                                                              objects, vault, rights ──▶ a stream
//! ```

mod channels;
mod check;
mod given;
mod grants;
mod objects;
mod presets;
mod rights;
mod roles;
#[cfg(test)]
pub(super) mod tests;
mod vault;
mod world;

use anyhow::Result;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    exit::Exit,
    finding::{Finding, Severity, any_error},
    manifest::{self, Manifest, Sources},
    output::Screen,
    words,
};
use crate::{grants::Installation, observe::probe::PodLabels};

const EXAMPLES: &str = "\
Examples:
  subrosa render -f channel.yaml
  subrosa render -f deploy/ -f trust-domain.yaml -o json
  kustomize build . | subrosa render -f -
  subrosa render -f deploy/ --now 2027-03-02T00:00:00Z     # what an agreement's end closes

Objects and VaultChange documents go to standard output; errors and notes, each with file and line,
to standard error. With errors nothing is printed, and the exit code is 1. What was not given, or
waits for somebody's consent, is a note.";

/// Shows, offline, what manifests would become: Kubernetes objects and changes in Vault
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, group = clap::ArgGroup::new("given").required(true).args(["files"]))]
pub struct Args {
    #[command(flatten)]
    sources: Sources,
    /// The format of what is printed
    #[arg(short, long, value_enum, default_value_t = Format::Yaml)]
    output: Format,
    /// The time at which it is, as RFC 3339 [default: now]
    #[arg(long, value_name = "TIME")]
    now: Option<Timestamp>,
    /// The namespace of objects that name none
    #[arg(short, long, default_value = "default")]
    namespace: String,
    /// The namespace the operator runs in, where it reads CA bundles
    #[arg(long, value_name = "NAMESPACE", default_value = super::OPERATOR_NAMESPACE)]
    operator_namespace: String,
    /// The labels of the operator's pods, where it probes: what lets them in is shown too
    #[arg(long, value_name = "LABELS")]
    probe_from_labels: Option<PodLabels>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    Yaml,
    Json,
}

/// Runs the command.
///
/// # Errors
/// When a file cannot be read or the output not written.
pub fn run(args: &Args, screen: &mut Screen) -> Result<Exit> {
    let now = args.now.unwrap_or_else(Timestamp::now);
    let (manifests, wrong) = manifest::read(&args.sources)?;
    let rendered = render(manifests, wrong, args, now)?;
    say(&rendered.findings, screen)?;
    if any_error(&rendered.findings) {
        return Ok(Exit::Wrong);
    }
    let text = match args.output {
        Format::Yaml => super::stream(&rendered.documents)?,
        Format::Json => {
            let list = json!({"apiVersion": "v1", "kind": "List", "items": rendered.documents});
            format!("{}\n", serde_json::to_string_pretty(&list)?)
        }
    };
    screen.print(&text)?;
    Ok(Exit::Done)
}

struct Rendered {
    findings: Vec<Finding>,
    documents: Vec<Value>,
}

fn render(
    manifests: Vec<Manifest>,
    mut findings: Vec<Finding>,
    args: &Args,
    now: Timestamp,
) -> Result<Rendered> {
    let given = given::sort(manifests, &args.namespace, &mut findings);
    let mut imagined = world::imagine(&given, &args.operator_namespace, &mut findings);
    let probes = args.probe_from_labels.clone().map(|labels| labels.at(&args.operator_namespace));
    imagined.world.probes = probes;
    imagined.world.worker_image = Some("<image of the operator>".to_owned());
    check::check(&given, &imagined, now, &mut findings);
    roles::check(&given, &imagined, now, &mut findings);
    grants::check(&given, &imagined, &mut findings);
    let planned = channels::plan(&given, &imagined, now, &mut findings);
    let installation = Installation::new(&args.operator_namespace, super::OPERATOR_ACCOUNT)?;
    let mut documents = Vec::new();
    let mut rights = rights::documents(&given, &imagined)?;
    let mut granted = grants::documents(&given, &imagined);
    for (namespace, facts) in &imagined.world.namespaces {
        let Some(label) = &facts.trust_domain else { continue };
        documents.extend(objects::of_namespace(namespace, label, &installation, &imagined)?);
        for one in planned.iter().filter(|one| &one.name.namespace == namespace) {
            documents.extend(objects::of_channel(one, &imagined, now)?);
            documents.extend(vault::changes(one, &imagined));
        }
        documents.extend(rights.remove(namespace).unwrap_or_default());
        documents.extend(granted.remove(namespace).unwrap_or_default());
    }
    findings.sort();
    findings.dedup();
    Ok(Rendered { findings, documents })
}

fn say(findings: &[Finding], screen: &mut Screen) -> Result<()> {
    let paint = screen.paint_said();
    for finding in findings {
        screen.say(&finding.text(paint))?;
    }
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let (errors, notes) = (count(Severity::Error), count(Severity::Note));
    if errors + notes > 0 {
        screen.say(&format!("{}, {}", words::counted(errors, "error"), words::counted(notes, "note")))?;
    }
    Ok(())
}
