//! A key of a past cohort that was made by a process that ended before it noted it stands on record all the same, though nobody
//! imports anything any more when the next one starts: else no day would come on which it is destroyed.

use anyhow::{Context as _, Result, ensure};
use jiff::{Timestamp, ToSpan as _};
use serde_json::{Value, json};
use subrosa_crds::names::ChannelId;
use subrosa_e2e::{Mode, installation::governed_namespace, wait};

use crate::{
    cluster::{Cluster, DOMAIN, PATIENCE},
    crash::Rig,
};

const NS: &str = "imports";
const CLASS: &str = "call-recording";
/// After how many writes the process ends: the intent, three keys, their record and that of the Channel are among them.
const WRITES: usize = 7;

fn channel(name: &str, import: Option<&str>) -> Value {
    let mut encryption = json!({"workloadMay": ["Seal"]});
    if let Some(from) = import {
        encryption["import"] = json!({"from": from});
    }
    json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "Channel", "metadata": {"name": name, "namespace": NS},
        "spec": {
            "workload": {"selector": {"matchLabels": {"app": name}}, "serviceAccountName": name},
            "dataClasses": [CLASS], "encryption": encryption,
        },
    })
}

/// The cohorts of which Vault has a key, and those that are on record.
async fn cohorts(cluster: &Cluster, id: &ChannelId) -> Result<(Vec<String>, Vec<String>)> {
    let prefix = format!("{id}.{CLASS}.");
    let keys = cluster.keys().await?;
    let mut made: Vec<_> =
        keys.iter().filter_map(|key| key.strip_prefix(&prefix)).map(str::to_owned).collect();
    let mut recorded = Vec::new();
    for month in cluster.list(&format!("subrosa/metadata/keys/{id}/{CLASS}")).await? {
        let (_, answer) =
            cluster.root("GET", &format!("subrosa/data/keys/{id}/{CLASS}/{month}"), None).await?;
        let keys = answer["data"]["data"]["keys"].as_object().cloned().unwrap_or_default();
        recorded.extend(keys.into_iter().map(|(cohort, _)| cohort));
    }
    made.sort();
    recorded.sort();
    Ok((made, recorded))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_imported_key_is_on_record_wherever_the_process_ends() -> Result<()> {
    let mut rig = Rig::build().await?;
    rig.start(1).await?;
    let uid = governed_namespace(&rig.cluster.env, NS, DOMAIN).await?;
    let from = Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date().checked_sub(21.days())?.to_string();
    let mut orphaned = 0;
    for number in 1..=WRITES {
        let name = format!("archive-{number}");
        let id = ChannelId::mint(&uid, &name);
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": NS}});
        rig.cluster.apply(account).await?;
        rig.cluster.apply(channel(&name, None)).await?;
        rig.cluster.whole(&[(NS, &name)]).await?;
        rig.tap.reset();
        let cut = rig.tap.cut_after_write(number, Mode::Refuse);
        rig.cluster.apply(channel(&name, Some(&from))).await?;
        tokio::time::timeout(PATIENCE, cut).await.with_context(|| format!("write {number} never came"))??;
        rig.stop();
        let (made, recorded) = cohorts(&rig.cluster, &id).await?;
        orphaned += usize::from(made != recorded);
        rig.tap.reset();
        rig.tap.set_mode(Mode::Pass);
        rig.cluster.apply(channel(&name, None)).await?;
        rig.start(1).await?;
        let look = || async {
            let (made, recorded) = cohorts(&rig.cluster, &id).await.map_err(|error| format!("{error:#}"))?;
            let told = format!("after write {number}: made {made:?}, recorded {recorded:?}");
            if made == recorded { Ok(()) } else { Err(told) }
        };
        wait::until(PATIENCE, look).await?;
    }
    ensure!(orphaned > 0, "no process ended between a key and its record");
    Ok(())
}
