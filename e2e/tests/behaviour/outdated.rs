//! Vault with the policy of an earlier release: what the operator cannot do under it is told.

use std::collections::BTreeMap;

use serde_json::json;
use subrosa_crds::condition::{self, SETUP_CURRENT};
use subrosa_records::vault::setup::OPERATOR_POLICY;

use crate::world::{World, says};

/// What the operator may do at each of these paths.
const NEEDED: [(&str, &str); 2] = [
    ("path \"identity/entity-alias/id\" {\n  capabilities = ", "aliases"),
    ("path \"subrosa/data/key-findings\" {\n  capabilities = ", "what is found of keys"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_an_earlier_release_did_not_need_is_missed() {
    let mut world = World::start().await;
    world.domain(|domain| says(domain, condition::READY).0 == "True").await;
    let path = format!("sys/policies/acl/{OPERATOR_POLICY}");
    let before = world.env.openbao().request("GET", &path, None).await.unwrap()["data"]["policy"].clone();
    let before = before.as_str().unwrap().to_owned();
    for (right, what) in BTreeMap::from(NEEDED) {
        let (head, tail) = before.split_once(right).unwrap_or_else(|| panic!("{right} in {before}"));
        let end = tail.find('\n').unwrap();
        let denied = format!("{head}{right}[\"deny\"]{}", &tail[end..]);
        world.stop_operator();
        world.env.openbao().request("POST", &path, Some(json!({"policy": denied}))).await.unwrap();
        world.start_operator().await;
        let domain = world.domain(|domain| says(domain, SETUP_CURRENT) == ("False", "SetupOutdated")).await;
        let conditions = &domain.status.as_ref().unwrap().conditions;
        let message = &condition::find(conditions, SETUP_CURRENT).unwrap().message;
        assert!(message.contains("vault-setup"), "{what}: {message}");
        // Given the right, it goes on without a restart.
        world.env.openbao().request("POST", &path, Some(json!({"policy": before}))).await.unwrap();
        world.domain(|domain| says(domain, SETUP_CURRENT).0.is_empty()).await;
    }
}
