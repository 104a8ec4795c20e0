//! `subrosa status`: the state of every Channel, and the next step.

mod ending;
mod report;
mod text;
mod timeline;

use std::time::Duration;

use anyhow::Result;
use futures::StreamExt as _;
use jiff::Timestamp;
use serde::Serialize;

use super::{
    OPERATOR_NAMESPACE,
    cluster::{ClusterClient, ClusterTarget},
    ends::EndObjects,
    exit::Exit,
    output::Screen,
};
use ending::Ending;
use report::Report;
use timeline::Timeline;

/// Changes within this time are shown together.
const SETTLE: Duration = Duration::from_millis(300);

const EXAMPLES: &str = "\
Examples:
  subrosa status                  # the Channels of the current namespace
  subrosa status -A --watch       # all of them, drawn again when something changes
  subrosa status -A --retention   # what they keep, and until when
  subrosa status --destruction    # what waits for people before data ends, what is held, what is frozen
  subrosa status -A -o json | jq '.channels[] | select(.ready != \"True\")'";

/// Shows how trust domains and Channels are, and the next step where one is not well
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    target: ClusterTarget,
    /// The Channels of this namespace [default: that of the kubeconfig's context]
    #[arg(short, long, conflicts_with = "all_namespaces")]
    namespace: Option<String>,
    /// The Channels of all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Show what the Channels keep, and when it falls due
    #[arg(long)]
    retention: bool,
    /// Show Destructions that are open, LegalHolds, and why nothing is destroyed
    #[arg(long, conflicts_with_all = ["retention", "watch", "namespace", "all_namespaces"])]
    destruction: bool,
    /// The namespace of the operator and the destroyer
    #[arg(long, default_value = OPERATOR_NAMESPACE, value_name = "NAMESPACE", requires = "destruction")]
    operator_namespace: String,
    /// Show it again whenever something changes, until Ctrl-C
    #[arg(short, long)]
    watch: bool,
    /// The format
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Table,
    Json,
    Yaml,
}

/// Runs the command.
///
/// # Errors
/// When the cluster cannot be read.
pub async fn run(args: &Args, screen: &mut Screen) -> Result<Exit> {
    let cluster = args.target.connect().await?;
    if args.destruction {
        let seen = EndObjects::read(&cluster, &args.operator_namespace).await?;
        let report = Ending::of(&seen, Timestamp::now());
        let text = written(&report, args.output, || ending::drawn(&report, screen.paint()))?;
        screen.print(&text)?;
        return Ok(Exit::Done);
    }
    let namespace = match (&args.namespace, args.all_namespaces) {
        (_, true) => None,
        (Some(namespace), _) => Some(namespace.clone()),
        (None, false) => Some(cluster.namespace().to_owned()),
    };
    let namespace = namespace.as_deref();
    if !args.watch {
        let text = draw(&cluster, namespace, args, screen).await?;
        screen.print(&text)?;
        return Ok(Exit::Done);
    }
    let mut changes = cluster.changes(namespace);
    let mut shown = String::new();
    loop {
        match draw(&cluster, namespace, args, screen).await {
            // A restart of the API server must not end a watch.
            Err(error) if !shown.is_empty() => {
                screen.say(&format!("{}; trying again", super::told(&error)))?
            }
            drawn => show(drawn?, &mut shown, args.output, screen)?,
        }
        tokio::select! {
            _ = tokio::signal::ctrl_c() => return Ok(Exit::Done),
            _ = changes.next() => {}
            // Relative times become outdated.
            () = tokio::time::sleep(Duration::from_secs(60)) => {}
        }
        let settled = tokio::time::sleep(SETTLE);
        tokio::pin!(settled);
        loop {
            tokio::select! {
                () = &mut settled => break,
                _ = changes.next() => {}
            }
        }
    }
}

fn show(text: String, shown: &mut String, format: Format, screen: &mut Screen) -> Result<()> {
    if text != *shown {
        if format == Format::Table && (screen.redraws() || !shown.is_empty()) {
            screen.clear()?;
        }
        screen.print(&text)?;
        *shown = text;
    }
    Ok(())
}

async fn draw(
    cluster: &ClusterClient,
    namespace: Option<&str>,
    args: &Args,
    screen: &Screen,
) -> Result<String> {
    let (seen, now) = (cluster.see(namespace).await?, Timestamp::now());
    if args.retention {
        let timeline = Timeline::of(&seen, namespace, now);
        return written(&timeline, args.output, || timeline::drawn(&timeline, screen.paint()));
    }
    let report = Report::of(&seen, namespace, now);
    written(&report, args.output, || text::table(&report, screen.paint()))
}

fn written(shown: &impl Serialize, format: Format, table: impl FnOnce() -> String) -> Result<String> {
    Ok(match format {
        Format::Table => table(),
        Format::Json => format!("{}\n", serde_json::to_string_pretty(shown)?),
        Format::Yaml => super::stream(&[serde_json::to_value(shown)?])?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{cluster::ClusterObjects, output::Paint, testing};

    fn shown(seen: &ClusterObjects, namespace: Option<&str>, paint: bool) -> String {
        text::table(&Report::of(seen, namespace, testing::now()), Paint(paint))
    }

    #[test]
    fn the_table_tells_who_is_well_and_what_to_do() {
        insta::assert_snapshot!("table", shown(&testing::seen(), None, false));
    }

    #[test]
    fn colours_change_nothing_but_colours() {
        let coloured = shown(&testing::seen(), None, true);
        let mut plain = String::new();
        let mut rest = coloured.as_str();
        while let Some((before, after)) = rest.split_once('\x1b') {
            plain.push_str(before);
            rest = after.split_once('m').unwrap().1;
        }
        plain.push_str(rest);
        assert_eq!(plain, shown(&testing::seen(), None, false));
        assert_ne!(plain, coloured);
    }

    #[test]
    fn an_empty_cluster_says_what_is_missing() {
        let empty = ClusterObjects::default();
        let text = shown(&empty, Some("cc-front"), false);
        assert!(
            text.contains("No TrustDomain") && text.contains("No Channel in namespace cc-front; -A"),
            "{text}"
        );
    }

    #[test]
    fn what_may_not_be_read_is_not_called_absent() {
        let seen = ClusterObjects {
            hidden: vec!["TrustDomains"],
            channels: vec![testing::voice()],
            ..ClusterObjects::default()
        };
        let text = shown(&seen, None, false);
        assert!(text.starts_with("Not shown, for you may not list them: TrustDomains\n"), "{text}");
        assert!(!text.contains("No TrustDomain"), "{text}");
    }

    #[test]
    fn scripts_get_a_stable_shape() {
        let report = Report::of(&testing::seen(), Some("cc-front"), testing::now());
        insta::assert_yaml_snapshot!("report", report);
    }
}
