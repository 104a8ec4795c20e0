//! An operator that is newer than its definitions says so: a namespace that moves in is often a cluster whose
//! definitions somebody forgot to upgrade.

use std::time::Duration;

use kube::Client;
use serde_json::Value;
use subrosa_crds::condition;
use subrosa_e2e::{Operator, installation::apply_object, operator::Options, wait};

use crate::world::{World, says};

/// The definition of Channel as an older version had it.
fn older(definition: &Value) -> Value {
    let mut older = definition.clone();
    let schema = &mut older["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
    let tls = schema["spec"]["properties"]["tls"]["properties"].as_object_mut().unwrap();
    assert!(tls.remove("extraTrust").is_some());
    older
}

/// Whether the API server publishes `tls.extraTrust` of Channels: it does so some time after the definition changed,
/// and an operator that found nothing missing looks again only minutes later.
async fn is_published(client: &Client) -> Result<bool, String> {
    let request = http::Request::get("/openapi/v3/apis/subrosa.dev/v1alpha1").body(Vec::new());
    let request = request.map_err(|error| error.to_string())?;
    let published: Value = client.request(request).await.map_err(|error| error.to_string())?;
    let schemas = published["components"]["schemas"].as_object().ok_or("nothing is published")?;
    let of_channels =
        |schema: &&Value| schema["x-kubernetes-group-version-kind"][0]["kind"].as_str() == Some("Channel");
    let channel = schemas.values().find(of_channels).ok_or("Channels are not published")?;
    let tls = &channel["properties"]["spec"]["properties"]["tls"]["properties"];
    Ok(tls.as_object().ok_or("tls is not published")?.contains_key("extraTrust"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_newer_than_its_definitions_says_which_is_old_and_what_to_do() {
    let mut world = World::start().await;
    world.domain(|domain| says(domain, condition::READY) == ("True", "InForce")).await;
    world.stop_operator();
    let channels = subrosa_crds::all().into_iter().find(|one| one.spec.names.kind == "Channel").unwrap();
    let current = serde_json::to_value(channels).unwrap();
    apply_object(&world.admin, &older(&current)).await.unwrap();
    world
        .until("the older definition is published", || async {
            if is_published(&world.admin).await? { Err("it is not".to_owned()) } else { Ok(()) }
        })
        .await;

    let operator = Operator::spawn(&world.installed, Options::default()).unwrap();
    let said = wait::until(Duration::from_secs(60), || async {
        match operator.readiness().await {
            Ok((false, said)) if said.contains("lacks") => Ok(said),
            other => Err(format!("{other:?}")),
        }
    })
    .await
    .unwrap();
    assert!(said.contains("channels.subrosa.dev lacks spec.tls.extraTrust"), "{said}");
    assert!(said.contains("upgrade the chart subrosa-crds"), "{said}");
    assert!(operator.log().unwrap().contains("channels.subrosa.dev lacks spec.tls.extraTrust"));
    // The rest is told as it is.
    world
        .domain(|domain| {
            says(domain, condition::READY).1 == "DefinitionsOutdated"
                && says(domain, condition::VAULT_REACHABLE) == ("True", "LoggedIn")
        })
        .await;

    // Upgraded, it is well again by itself.
    apply_object(&world.admin, &current).await.unwrap();
    wait::until(Duration::from_secs(60), || async {
        match operator.readiness().await {
            Ok((true, _)) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await
    .unwrap();
    world.domain(|domain| says(domain, condition::READY) == ("True", "InForce")).await;
}
