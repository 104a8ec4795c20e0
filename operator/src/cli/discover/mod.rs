//! `subrosa discover`: drafts Channels for running workloads.
//!
//! ```text
//!  cluster ──▶ read::found ──▶ subrosa_plan::discover::draft ──▶ write::stream ──▶ standard output
//!              (only reads)     (decides)                        (YAML with open decisions)
//! ```

mod read;
#[cfg(test)]
mod tests;
mod write;

use anyhow::Result;
use subrosa_plan::discover;

use super::{cluster::ClusterTarget, exit::Exit, output::Screen, words};

const EXAMPLES: &str = "\
Examples:
  subrosa discover -n cc-front > channels.yaml
  subrosa discover -n cc-front -n cc-data -o yaml    # both ends of what connects them
  subrosa render -f channels.yaml                    # what the draft would become

Reads Deployments, StatefulSets, DaemonSets, pods, Services and NetworkPolicies with the rights of the
kubeconfig, and changes nothing. The drafts go to standard output, each with what was guessed and what a
person has to decide; all else to standard error. With nothing to draft the exit code is 0 too.";

/// Drafts Channels for the workloads of a namespace, from its Services and NetworkPolicies
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The namespace, several times for several [default: that of the kubeconfig's context]
    #[arg(short, long = "namespace", value_name = "NAMESPACE")]
    namespaces: Vec<String>,
    /// The format of what is printed
    #[arg(short, long, value_enum, default_value_t = Format::Yaml)]
    output: Format,
    #[command(flatten)]
    target: ClusterTarget,
}

// No JSON, which has no comments for open decisions.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    Yaml,
}

/// Runs the command.
///
/// # Errors
/// When the cluster cannot be read or has no such namespace.
pub async fn run(args: &Args, screen: &mut Screen) -> Result<Exit> {
    let cluster = args.target.connect().await?;
    let namespaces = match args.namespaces.as_slice() {
        [] => vec![cluster.namespace().to_owned()],
        given => given.to_vec(),
    };
    let (found, hidden) = read::found(&cluster, &namespaces).await?;
    let drafts = discover::draft(&found);
    let Format::Yaml = args.output;
    screen.print(&write::stream(&namespaces, &drafts)?)?;
    for kinds in hidden {
        screen.say(&format!(
            "{}: {kinds} are not known: this user may not read them, or they are not installed",
            screen.paint_said().odd("note")
        ))?;
    }
    let decisions = drafts.channels.iter().map(|draft| draft.decide.len()).sum();
    screen.say(&format!(
        "{} drafted, {} for a person to decide",
        words::counted(drafts.channels.len(), "Channel"),
        words::counted(decisions, "thing")
    ))?;
    Ok(Exit::Done)
}
