//! Channels on their way to Ready: a table on a terminal, else a line for each change.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::Result;
use kube::{Api, Client, ResourceExt as _, api::ListParams};
use subrosa_crds::{Channel, condition};

use super::screen::Screen;
use crate::wait;

/// How long they may take together.
const LIMIT: Duration = Duration::from_secs(60);
/// How often they are looked at.
const INTERVAL: Duration = Duration::from_millis(100);

/// One Channel as the table shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    name: String,
    kind: String,
    ready: String,
    reason: String,
    connections: String,
    /// Whether it is Ready and all its connections are open.
    whole: bool,
}

impl Row {
    fn of(channel: &Channel) -> Self {
        let status = channel.status.clone().unwrap_or_default();
        let ready = condition::find(&status.conditions, condition::READY);
        Self {
            name: format!("{}/{}", channel.namespace().unwrap_or_default(), channel.name_any()),
            kind: serde_json::to_value(channel.spec.type_)
                .ok()
                .and_then(|kind| Some(kind.as_str()?.to_owned()))
                .unwrap_or_default(),
            ready: ready.map_or("Unknown", |one| one.status.as_str()).to_owned(),
            reason: ready.map_or("NotReconciled", |one| one.reason.as_str()).to_owned(),
            connections: status.connection_summary.clone().unwrap_or_default(),
            whole: status.observed_generation == channel.metadata.generation && wait::whole(&status),
        }
    }

    fn line(&self) -> String {
        let Self { name, kind, ready, reason, connections, .. } = self;
        format!("{name:<22} {kind:<10} {ready:<8} {reason:<24} {connections}").trim_end().to_owned()
    }
}

/// Every Channel there is.
///
/// # Errors
/// When the request to the API server fails.
pub async fn channels(client: &Client) -> Result<Vec<Channel>> {
    Ok(Api::<Channel>::all(client.clone()).list(&ListParams::default()).await?.items)
}

/// Shows the Channels until each is Ready with all its connections open, or time is up; says which.
///
/// # Errors
/// When the API server does not answer.
pub async fn watch(client: &Client, screen: &mut Screen) -> Result<bool> {
    let began = Instant::now();
    let mut shown = BTreeMap::new();
    header(screen)?;
    loop {
        let rows: Vec<_> = channels(client).await?.iter().map(Row::of).collect();
        show(screen, &rows, &mut shown)?;
        let whole = !rows.is_empty() && rows.iter().all(|row| row.whole);
        if whole || began.elapsed() > LIMIT {
            let ready = rows.iter().filter(|row| row.whole).count();
            let seconds = began.elapsed().as_secs_f32();
            screen.judged(whole, &format!("{ready} of {} ready after {seconds:.1} s", rows.len()))?;
            return Ok(whole);
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

fn header(screen: &mut Screen) -> Result<()> {
    let titles = ["CHANNEL", "TYPE", "READY", "REASON", "CONNECTIONS"].map(str::to_owned);
    let [name, kind, ready, reason, connections] = titles;
    screen.text(&Row { name, kind, ready, reason, connections, whole: false }.line())
}

/// Draws the table again on a terminal; elsewhere writes what changed.
fn show(screen: &mut Screen, rows: &[Row], shown: &mut BTreeMap<String, Row>) -> Result<()> {
    let changed: Vec<_> = rows.iter().filter(|row| shown.get(&row.name) != Some(row)).cloned().collect();
    if screen.is_terminal() {
        if !changed.is_empty() {
            screen.redraw(&rows.iter().map(Row::line).collect::<Vec<_>>())?;
        }
    } else {
        for row in &changed {
            screen.text(&row.line())?;
        }
    }
    shown.extend(changed.into_iter().map(|row| (row.name.clone(), row)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{super::screen::tests::captured, *};

    fn row(name: &str, ready: &str) -> Row {
        let text = str::to_owned;
        Row {
            name: text(name),
            kind: text("Voice"),
            ready: text(ready),
            reason: text("X"),
            connections: text("0/1"),
            whole: false,
        }
    }

    #[test]
    fn without_a_terminal_only_changes_are_written() {
        let (mut screen, captured) = captured(false);
        let mut shown = BTreeMap::new();
        for ready in ["Unknown", "Unknown", "True"] {
            show(&mut screen, &[row("a/b", "False"), row("a/c", ready)], &mut shown).unwrap();
        }
        let text = captured.text();
        assert_eq!(text.lines().count(), 3, "{text}");
        assert_eq!(text.matches("a/b").count(), 1);
    }

    #[test]
    fn a_channel_nobody_looked_at_is_not_whole() {
        let channel: Channel = serde_json::from_value(serde_json::json!({
            "apiVersion": "subrosa.dev/v1alpha1", "kind": "Channel", "metadata": {"name": "a", "namespace": "b"},
            "spec": {"workload": {"selector": {"matchLabels": {"app": "a"}}}},
        }))
        .unwrap();
        let row = Row::of(&channel);
        assert!(!row.whole);
        assert_eq!(row.line(), "b/a                               Unknown  NotReconciled");
    }
}
