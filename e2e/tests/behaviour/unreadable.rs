//! Records in Vault that cannot be read: told, and no obstacle for anything else.

use std::collections::BTreeMap;

use serde_json::json;
use subrosa_crds::{condition, names::ChannelId};

use crate::{
    identity,
    world::{World, channel, says},
};

const NS: &str = "cc-front";

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_cannot_be_read_holds_up_nothing() {
    let mut world = World::start().await;
    world.governed(NS).await;
    let mut all = BTreeMap::<ChannelId, (String, String, String)>::new();
    for name in ["a", "b", "c", "d"] {
        world.service_account(NS, name).await;
        let spec = json!({"workload": {"serviceAccountName": name}, "dataClasses": ["chat-log"]});
        world.apply(&channel(NS, name, spec)).await;
    }
    for name in ["a", "b", "c", "d"] {
        let status = world.whole(NS, name).await;
        let cohort = &status.keys.iter().find(|key| key.state == "Current").unwrap().cohort;
        let id = world.id(NS, name).await;
        let key = format!("{id}.chat-log.{cohort}");
        let token = identity::login(&world, NS, name).await;
        assert_eq!(identity::seal(&world, &token, &key).await.0, 200);
        all.insert(id, (name.to_owned(), token, key));
    }
    // Records are looked at in the order of their identities: what is broken comes first.
    let mut all = all.into_iter();
    let (deleted, junk, gone, stays) =
        (all.next().unwrap(), all.next().unwrap(), all.next().unwrap(), all.next().unwrap());
    world.stop_operator();
    for (_, (name, ..)) in [&deleted, &junk, &gone] {
        world.delete_channel(NS, name).await;
    }
    let deleted_version = {
        let bao = world.env.openbao();
        let path = |id: &ChannelId| format!("subrosa/data/channels/{id}");
        let version = async |id: &ChannelId| {
            bao.request("GET", &path(id), None).await.unwrap()["data"]["metadata"]["version"].clone()
        };
        let deleted_version = version(&deleted.0).await;
        bao.request("DELETE", &path(&deleted.0), None).await.unwrap();
        let malformed = json!({"options": {"cas": version(&junk.0).await}, "data": {"channel": 7}});
        bao.request("POST", &path(&junk.0), Some(malformed)).await.unwrap();
        deleted_version
    };
    world.start_operator().await;

    let domain = world
        .domain(|domain| says(domain, condition::RECORDS_READABLE) == ("False", "RecordUnreadable"))
        .await;
    let conditions = &domain.status.as_ref().unwrap().conditions;
    let told = &condition::find(conditions, condition::RECORDS_READABLE).unwrap().message;
    let undelete =
        format!("bao kv undelete -mount=subrosa -versions={deleted_version} channels/{}", deleted.0);
    assert!(told.contains(&undelete) && told.contains(junk.0.as_str()), "{told}");
    // Those that are gone have no access: one by its record, two by the aliases that name them.
    for (_, (name, token, key)) in [&gone, &deleted, &junk] {
        world
            .until(&format!("the access of {name} ends"), || async {
                let (status, answer) = identity::seal(&world, token, key).await;
                if status == 403 { Ok(()) } else { Err(format!("{status} {answer}")) }
            })
            .await;
    }
    let (_, (_, token, key)) = &stays;
    assert_eq!(identity::seal(&world, token, key).await.0, 200);
    world
        .domain(|domain| {
            let status = domain.status.as_ref().unwrap();
            let orphans = status.orphans.as_ref().map(|orphans| (orphans.count, orphans.first.join(" ")));
            orphans.is_some_and(|(count, first)| count == 1 && first.contains(gone.0.as_str()))
                && status.channels.as_ref().is_some_and(|channels| channels.total == 1)
        })
        .await;

    // Put right, it is read without a restart.
    let undelete = json!({"versions": [deleted_version]});
    let bao = world.env.openbao();
    bao.request("POST", &format!("subrosa/undelete/channels/{}", deleted.0), Some(undelete)).await.unwrap();
    world
        .domain(|domain| {
            let orphans = domain.status.as_ref().and_then(|status| status.orphans.as_ref());
            orphans.is_some_and(|orphans| orphans.count == 2)
                && says(domain, condition::RECORDS_READABLE) == ("False", "RecordUnreadable")
        })
        .await;

    // The deletion of the TrustDomain is not held up, and takes the access of what is there too.
    world.delete_domain().await;
    assert_eq!(identity::seal(&world, token, key).await.0, 403);
}
