//! Deleting what protects takes a confirmation, and a confirmed namespace takes along what is in it.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::{
    request::{
        Case,
        Expected::{Allowed, Denied},
        delete, delete_foreground, get, merge, post,
    },
    world::{ADMIN, ENGINEER, OFFICER, OPERATOR, World, channel, channels, core, subrosa},
};

const POLICY: &str = "subrosa-deletion";
const UNCONFIRMED: &str = "has to be confirmed: kubectl annotate ";

fn confirmation(uid: &Value) -> Value {
    json!({ "metadata": { "annotations": { "subrosa.dev/confirm-delete": uid } } })
}

pub async fn has_to_be_confirmed(world: &World) -> Result<()> {
    let case = |who, what, request, expected| Case { who, what, request, expected };
    let voice = channels("cc-front", "voice");
    let refused = |words| Denied(POLICY, words);
    for name in ["second", "third"] {
        world.must(ENGINEER, post(channels("cc-front", ""), channel(name))).await?;
    }
    // Confirmed for another object: a Channel of this name that was there before.
    world
        .must(ENGINEER, merge(channels("cc-front", "second"), confirmation(&json!("its-predecessor"))))
        .await?;
    let cases = vec![
        case(ENGINEER, "deletes a Channel", delete(&voice), refused(UNCONFIRMED)),
        case(
            ENGINEER,
            "deletes it with its dependents first",
            delete_foreground(&voice),
            refused(UNCONFIRMED),
        ),
        case(ADMIN, "deletes a Channel", delete(&voice), refused(UNCONFIRMED)),
        case(ENGINEER, "confirmed another", delete(channels("cc-front", "second")), refused(UNCONFIRMED)),
        case(ENGINEER, "deletes all Channels", delete(channels("cc-front", "")), refused(UNCONFIRMED)),
        case(
            OFFICER,
            "deletes a TrustDomain",
            delete(subrosa("trustdomains", "oosterlinde")),
            refused("kubectl annotate trustdomains.subrosa.dev oosterlinde --overwrite"),
        ),
        case(
            OFFICER,
            "deletes a RetentionPolicy",
            delete(subrosa("retentionpolicies", "contactcenter")),
            refused("kubectl annotate retentionpolicies.subrosa.dev contactcenter --overwrite"),
        ),
        case(
            ENGINEER,
            "deletes a governed namespace",
            delete("/api/v1/namespaces/cc-front"),
            refused("kubectl annotate namespaces cc-front --overwrite"),
        ),
        case(
            ADMIN,
            "deletes a governed namespace",
            delete("/api/v1/namespaces/cc-front"),
            refused(UNCONFIRMED),
        ),
        case(ENGINEER, "deletes another namespace", delete("/api/v1/namespaces/plain").dry(), Allowed),
        case(OFFICER, "withdraws consent", delete(subrosa("externalparties", "insurer")).dry(), Allowed),
    ];
    world.try_all("deletion", cases).await?;
    for name in ["voice", "second", "third"] {
        ensure!(
            world.must(ADMIN, get(channels("cc-front", name))).await?["metadata"]["deletionTimestamp"]
                .is_null()
        );
    }

    // The operator has something to do before a TrustDomain goes.
    let west = subrosa("trustdomains", "westerlinde");
    let finalizers = json!({ "metadata": { "finalizers": ["subrosa.dev/withdraw-access"] } });
    world.must(OPERATOR, merge(&west, finalizers)).await?;

    // The command in the message, as it stands.
    for (who, path) in [
        (ENGINEER, voice.clone()),
        (OFFICER, west.clone()),
        (OFFICER, subrosa("retentionpolicies", "contactcenter")),
        (ENGINEER, "/api/v1/namespaces/cc-west".to_owned()),
    ] {
        let message = world.call(who, delete(&path)).await?.message().to_owned();
        let (_, command) = message.split_once("confirmed: kubectl ").context(message.clone())?;
        let output = world.kubectl(who, &command.split_whitespace().collect::<Vec<_>>()).await?;
        ensure!(output.status.success(), "kubectl {command}: {output:?}");
        world.must(who, delete(&path)).await?;
    }
    ensure!(world.call(ADMIN, get(&voice)).await?.status == 404, "confirmed and deleted");
    ensure!(!world.must(ADMIN, get(&west)).await?["metadata"]["deletionTimestamp"].is_null());
    world.must(OPERATOR, merge(&west, json!({ "metadata": { "finalizers": [] } }))).await?;
    ensure!(world.call(ADMIN, get(&west)).await?.status == 404, "its access is withdrawn");
    world
        .eventually("the end of cc-west", async || {
            Ok(world.call(ADMIN, get("/api/v1/namespaces/cc-west")).await?.status == 404)
        })
        .await?;
    // A successor is not covered by it.
    world.must(ENGINEER, post(channels("cc-front", ""), channel("voice"))).await?;
    world.try_all("successor", vec![case(ENGINEER, "deletes it", delete(&voice), refused(UNCONFIRMED))]).await
}

pub async fn goes_with_a_confirmed_namespace(world: &World) -> Result<()> {
    let namespace = "/api/v1/namespaces/cc-closing";
    world.env.create_namespace("cc-closing", &[("subrosa.dev/trust-domain", "oosterlinde")]).await?;
    for name in ["voice", "chat"] {
        world.must(ADMIN, post(channels("cc-closing", ""), channel(name))).await?;
    }
    let uid = world.must(ADMIN, get(namespace)).await?["metadata"]["uid"].clone();
    world.must(ENGINEER, merge(namespace, confirmation(&uid))).await?;

    // While nobody cleans up, as in a cluster whose controllers have another name.
    let controllers = world.env.pids()["kube-controller-manager"];
    let controllers = Pid::from_raw(controllers.try_into()?).context("a process")?;
    let voice = channels("cc-closing", "voice");
    ensure!(world.call(ADMIN, delete(&voice).dry()).await?.fault(Denied(POLICY, UNCONFIRMED)).is_none());
    kill_process(controllers, Signal::STOP)?;
    let begun = world.must(ENGINEER, delete(namespace)).await;
    // The policies' view of namespaces follows with a moment's delay.
    let gone = world
        .eventually("a Channel's deletion in a namespace that goes", async || {
            Ok(world.call(ADMIN, delete(&voice)).await?.status == 200)
        })
        .await;
    kill_process(controllers, Signal::CONT)?;
    begun?;
    gone?;
    // And the namespace controller removes the other.
    world
        .eventually("the end of the namespace", async || {
            Ok(world.call(ADMIN, get(namespace)).await?.status == 404)
        })
        .await
}

pub async fn is_asked_of_the_garbage_collector(world: &World) -> Result<()> {
    let map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "owner" } });
    let owner = world.must(ADMIN, post(core("cc-front", "configmaps", ""), map)).await?;
    let mut owned = channel("owned");
    owned["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"],
    }]);
    world.must(ENGINEER, post(channels("cc-front", ""), owned)).await?;
    // It has to know both before one goes.
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.must(ADMIN, delete(core("cc-front", "configmaps", "owner"))).await?;
    let refused = || -> Result<bool> {
        Ok(world.env.audit_entries()?.iter().any(|entry| {
            entry.user.username == "system:serviceaccount:kube-system:generic-garbage-collector"
                && entry.verb == "delete"
                && entry.object_ref.as_ref().is_some_and(|object| object.name == "owned")
                && entry.response_status.as_ref().is_some_and(|status| status.code == 403)
        }))
    };
    world.eventually("the garbage collector's try", async || refused()).await?;
    let channel = world.must(ADMIN, get(channels("cc-front", "owned"))).await?;
    ensure!(channel["metadata"]["deletionTimestamp"].is_null(), "{channel}");
    Ok(())
}
