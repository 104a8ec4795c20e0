//! Channels that come and go leave nothing behind in the operator's memory.

use std::{collections::BTreeMap, time::Duration};

use futures::future::join_all;
use serde_json::json;
use subrosa_e2e::wait;

use crate::world::{World, channel};

const NS: &str = "cc-front";
/// More than after which what is kept is looked through.
const MANY: usize = 130;

const PATIENCE: Duration = Duration::from_secs(240);

/// `subrosa_kept_entries`, by what it is.
async fn kept(world: &World) -> BTreeMap<String, usize> {
    let metrics = world.metrics().await.unwrap();
    let lines = metrics.lines().filter_map(|line| line.strip_prefix("subrosa_kept_entries{what=\""));
    lines
        .filter_map(|line| {
            let (what, count) = line.split_once("\"} ")?;
            Some((what.to_owned(), count.parse().ok()?))
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn channels_that_come_and_go_leave_nothing_in_memory() {
    let world = World::start().await;
    world.governed(NS).await;
    let names: Vec<_> = (0..MANY).map(|number| format!("voice-{number}")).collect();
    join_all(names.iter().map(|name| async { world.apply(&channel(NS, name, json!({}))).await })).await;
    join_all(names.iter().map(|name| world.ready(NS, name))).await;
    let full = kept(&world).await;
    assert!(full["statuses"] >= MANY && full["records"] >= MANY, "{full:?}");

    join_all(names.iter().map(|name| world.delete_channel(NS, name))).await;
    let few = |counts: &BTreeMap<String, usize>| {
        counts.iter().filter(|(what, _)| *what != "settledOrphans").all(|(_, count)| *count < MANY / 2)
    };
    let look = || async {
        let counts = kept(&world).await;
        if few(&counts) { Ok(counts) } else { Err(format!("{counts:?}")) }
    };
    // The garbage collector removes their Secrets one after another, on a busy machine for minutes.
    let left = wait::until(PATIENCE, look).await.expect("what is kept of Channels that are gone goes");
    println!("with {MANY} Channels {full:?}, without {left:?}");
}
