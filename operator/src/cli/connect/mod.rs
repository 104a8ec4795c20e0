//! `subrosa connect`: what both ends must write for a connection.

mod ends;
mod propose;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use anyhow::{Result, bail};
use subrosa_crds::{Channel, ExternalParty, common::PortRange, names::ChannelRef};
use subrosa_plan::world::declaration::Declaration;

use super::{
    cluster::{ClusterClient, ClusterTarget},
    exit::Exit,
    manifest::{self, Manifest, Sources},
    output::Screen,
};
use ends::End;
use propose::{ConnectRequest, Known, propose};

const EXAMPLES: &str = "\
Examples:
  subrosa connect cc-front/voice cc-records/recorder
  subrosa connect ivr db -n cc-front --listeners postgres
  subrosa connect cc-front/voice ExternalParty/carrier --ports 5061
  subrosa connect cc-front/voice cc-web/portal -f deploy/        # compares with files, not the cluster

The first end connects to the second. What is there already is left out, as far as the files given
with -f, or else the cluster, tell.";

/// Prints what both ends must write so that one connects to the other
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Who connects: NAMESPACE/CHANNEL, or ExternalParty/NAME, Service/NAME
    #[arg(value_name = "FROM")]
    from: End,
    /// To whom
    #[arg(value_name = "TO")]
    to: End,
    /// The namespace of an end that names none [default: that of the kubeconfig's context]
    #[arg(short, long)]
    namespace: Option<String>,
    /// Only these of the listening Channel's listeners
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    listeners: Vec<String>,
    /// The ports agreed with an ExternalParty, such as 443 or 10000-20000/UDP
    #[arg(long, value_delimiter = ',', value_name = "PORT,…")]
    ports: Vec<PortRange>,
    #[command(flatten)]
    sources: Sources,
    #[command(flatten)]
    target: ClusterTarget,
}

/// Runs the command.
///
/// # Errors
/// When files cannot be read, or the ends cannot be connected.
pub async fn run(args: &Args, screen: &mut Screen) -> Result<Exit> {
    let cluster = if args.sources.files.is_empty() { args.target.connect().await.ok() } else { None };
    let namespace = match (&args.namespace, &cluster) {
        (Some(namespace), _) => namespace.clone(),
        (None, Some(cluster)) => cluster.namespace().to_owned(),
        (None, None) => "default".to_owned(),
    };
    let request = ConnectRequest {
        from: args.from.clone().within(&namespace),
        to: args.to.clone().within(&namespace),
        listeners: args.listeners.clone(),
        ports: args.ports.clone(),
    };
    let known = if args.sources.files.is_empty() {
        of_cluster(&request, cluster.as_ref(), screen).await?
    } else {
        let (manifests, findings) = manifest::read(&args.sources)?;
        if let Some(first) = findings.first() {
            bail!("{}", first.text(screen.paint_said()));
        }
        of_files(&manifests, &namespace)
    };
    let proposals = propose(&request, &known).map_err(anyhow::Error::msg)?;
    let paint = screen.paint();
    let mut text = String::new();
    for proposal in &proposals {
        text.push_str("---\n");
        text.push_str(&paint.bold(&format!("# {}", super::harmless(&proposal.title))));
        text.push('\n');
        if let Some(addition) = &proposal.addition {
            text.push_str(&serde_saphyr::to_string(addition)?);
        }
    }
    screen.print(&text)?;
    for hint in proposals.iter().filter_map(|proposal| proposal.hint.as_ref()) {
        screen.say(&format!("{}: {hint}", screen.paint_said().odd("note")))?;
    }
    Ok(Exit::Done)
}

fn of_files(manifests: &[Manifest], namespace: &str) -> Known {
    let mut known = Known { complete: false, ..Known::default() };
    for manifest in manifests.iter().filter(|manifest| manifest.is_ours()) {
        match manifest.kind.as_str() {
            "Channel" => {
                if let Ok(channel) = serde_json::from_value::<Channel>(manifest.value.clone()) {
                    known.channels.insert(manifest.name_in(namespace), Declaration::of(Arc::new(channel)));
                }
            }
            "ExternalParty" => {
                if let Ok(party) = serde_json::from_value::<ExternalParty>(manifest.value.clone()) {
                    known.parties.insert(manifest.name.clone(), party);
                }
            }
            _ => {}
        }
    }
    known
}

/// What the cluster knows of both ends; nothing, with a message, where it cannot be read.
async fn of_cluster(
    request: &ConnectRequest,
    cluster: Option<&ClusterClient>,
    screen: &mut Screen,
) -> Result<Known> {
    let mut known = Known::default();
    let Some(cluster) = cluster else {
        screen.say("no cluster and no files to compare with: what may be there already is printed too")?;
        return Ok(known);
    };
    for end in [&request.from, &request.to] {
        let found = match end {
            End::Channel(name) => channel(cluster, name, &mut known).await,
            End::Party(name) => party(cluster, name, &mut known).await,
            End::Service(_) => Ok(()),
        };
        if let Err(error) = found {
            screen.say(&format!("{}: what may be there already is printed too", super::told(&error)))?;
            return Ok(Known::default());
        }
    }
    Ok(Known { complete: true, ..known })
}

async fn channel(cluster: &ClusterClient, name: &ChannelRef, known: &mut Known) -> Result<()> {
    if let Some(found) = cluster.get_in::<Channel>(&name.namespace, &name.name).await? {
        known.channels.insert(name.clone(), Declaration::of(Arc::new(found)));
    }
    Ok(())
}

async fn party(cluster: &ClusterClient, name: &str, known: &mut Known) -> Result<()> {
    if let Some(found) = cluster.get::<ExternalParty>(name).await? {
        known.parties.insert(name.to_owned(), found);
    }
    Ok(())
}
