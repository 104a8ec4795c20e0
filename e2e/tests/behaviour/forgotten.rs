//! Records that somebody deletes or puts back while the operator runs, which remembers what it wrote.

use serde_json::json;
use subrosa_crds::{ChannelStatus, condition};
use subrosa_e2e::operator::Options;

use crate::world::World;

const NS: &str = "cc-front";

fn truth<'a>(status: &'a ChannelStatus, kind: &str) -> &'a str {
    condition::find(&status.conditions, kind).map_or("", |found| found.status.as_str())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_deleted_while_the_operator_runs_is_missed() {
    let mut world = World::start().await;
    world.governed(NS).await;
    let (_, id, key) = world.sealing(NS, "voice").await;
    world.sealing(NS, "chat").await;
    world.stop_operator();
    world.start_with_options(Options { keys_listed_every: Some("1"), ..Options::default() }).await;
    world.whole(NS, "voice").await;
    let pid = world.operator_pid();
    let bao = world.env.openbao();
    let path = format!("subrosa/data/channels/{id}");
    let before = bao.request("GET", &path, None).await.unwrap()["data"].clone();

    bao.request("DELETE", &path.replace("data", "metadata"), None).await.unwrap();
    world.not_ready(NS, "voice", "RecordLost").await;
    let status = world.channel(NS, "voice", |status| truth(status, condition::KEYS_READY) != "True").await;
    assert_ne!(truth(&status, condition::RETAINED), "True");
    world.ready(NS, "chat").await;

    // Put back as it was, it is gone on with.
    let put_back = json!({"options": {"cas": 0}, "data": before["data"]});
    bao.request("POST", &path, Some(put_back)).await.unwrap();
    world.whole(NS, "voice").await;
    assert_eq!(world.operator_pid(), pid);
    assert!(bao.request("GET", &format!("transit/keys/{key}"), None).await.is_ok());
}
