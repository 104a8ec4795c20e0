//! Deleting opens nothing and destroys nothing: access ends at once, every key and every default deny
//! stays, and what is applied again is what it was.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use kube::{
    Api,
    api::{DynamicObject, Patch, PatchParams},
};
use serde_json::{Value, json};
use subrosa_crds::{CONSENTS_ANNOTATION, WITHDRAW_ACCESS_FINALIZER};
use subrosa_e2e::{Operator, audit::ApiAuditEntry, installation::retention_policy, wait};

use crate::{
    cluster::{Cluster, DOMAIN, PATIENCE},
    crash::Rig,
    scenario::Scenario,
    sealing::SealingScenario,
    snapshot,
};

/// How long an operator may take to see again what was not defined for a while: its watches are taken up again
/// with pauses that grow to a minute.
const SEEN_AGAIN: Duration = Duration::from_secs(150);

/// Nobody removed a default deny in a namespace that goes on.
fn denies_were_never_gone(cluster: &Cluster, surviving: &[&str]) -> Result<()> {
    let removed: Vec<String> = cluster
        .env
        .audit_entries()?
        .into_iter()
        .filter(ApiAuditEntry::is_write)
        .filter(|entry| entry.verb.starts_with("delete"))
        .filter(|entry| {
            entry.object_ref.as_ref().is_some_and(|object| {
                object.resource == "networkpolicies"
                    && surviving.contains(&object.namespace.as_str())
                    && ["", "subrosa-default-deny"].contains(&object.name.as_str())
            })
        })
        .map(|entry| format!("{} {} by {}", entry.verb, entry.request_uri, entry.user.username))
        .collect();
    ensure!(removed.is_empty(), "{removed:#?}");
    Ok(())
}

/// Waits until every Channel says in its current status that it is not Ready for this reason.
async fn says(cluster: &Cluster, scenario: &Scenario, reason: &str) -> Result<()> {
    for (namespace, name) in scenario.channels() {
        let gone = |status: &subrosa_crds::ChannelStatus| wait::reason(status, "Ready") == reason;
        wait::channel(&cluster.admin, namespace, name, PATIENCE, gone).await?;
    }
    Ok(())
}

/// Changes every Channel a little: each is looked at again.
async fn touch(cluster: &Cluster, scenario: &Scenario, duration: &str) -> Result<()> {
    for (namespace, name) in scenario.channels() {
        let touched =
            json!({"metadata": {"labels": {"touched": "again"}}, "spec": {"tls": {"duration": duration}}});
        let channels = cluster.subrosa("Channel", namespace).await?;
        channels.patch(name, &PatchParams::default(), &Patch::Merge(&touched)).await?;
    }
    Ok(())
}

/// Every network policy is as it was.
async fn policies_are(cluster: &Cluster, scenario: &Scenario, before: &Value) -> Result<()> {
    let after = snapshot::living(cluster, scenario).await?;
    let changed = snapshot::differences(&after["policies"], &before["policies"]);
    ensure!(changed.is_empty(), "policies changed: {changed:#?}");
    Ok(())
}

/// Applies the definitions again and everything that was defined, and waits until it is whole.
async fn all_again(cluster: &Cluster, scenario: &Scenario) -> Result<()> {
    for crd in subrosa_crds::all() {
        cluster.apply(serde_json::to_value(crd)?).await?;
    }
    // That they are served may be what the API server says of those before.
    for kind in ["TrustDomain", "ExternalParty", "RetentionPolicy", "Channel"] {
        let served = || async {
            let api = cluster.subrosa(kind, "").await.map_err(|error| format!("{error:#}"))?;
            api.list(&Default::default()).await.map(drop).map_err(|error| error.to_string())
        };
        wait::until(PATIENCE, served).await.with_context(|| format!("{kind} is not served"))?;
    }
    cluster.apply(cluster.trust_domain()).await?;
    cluster.apply(retention_policy()).await?;
    cluster.apply_all(scenario.created()).await?;
    for (namespace, name) in scenario.channels() {
        wait::channel(&cluster.admin, namespace, name, SEEN_AGAIN, wait::whole).await?;
    }
    Ok(())
}

/// Changes db again and again, faster than anything settles.
async fn churn(channels: Api<DynamicObject>) {
    for round in 0.. {
        let every = if round % 2 == 0 { "28d" } else { "27d" };
        let patch = json!({"spec": {"tls": {"duration": every}}});
        channels.patch("db", &PatchParams::default(), &Patch::Merge(&patch)).await.ok();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_and_a_namespace_go_without_opening_or_destroying() -> Result<()> {
    let cluster = Cluster::build().await?;
    let mut operator = cluster.operator().await?;
    let mut sealing = SealingScenario::found(&cluster, "one").await?;
    let (front, data) = (sealing.scenario.front.clone(), sealing.scenario.data.clone());
    let channels = cluster.subrosa("Channel", &front).await?;

    let refused = channels.delete("voice", &Default::default()).await.unwrap_err().to_string();
    ensure!(refused.contains("subrosa.dev/confirm-delete"), "{refused}");
    // However busy it is otherwise.
    let busy = tokio::spawn(churn(cluster.subrosa("Channel", &data).await?));
    tokio::time::sleep(Duration::from_secs(2)).await;
    cluster.delete(&channels, "voice").await?;
    let took = sealing.shut("voice", Some("sbc")).await?;
    println!("access of a deleted Channel ended after {took:.1?}");
    sealing.closed_to("voice").await?;
    busy.abort();
    sealing.seals("portal", true).await?;
    sealing.intact(&sealing.both()).await?;
    cluster.apply_all(sealing.scenario.created()).await?;
    sealing.same_again().await?;

    // Held back by somebody else's finalizer, it has no access all the same.
    let finalizer = json!({"metadata": {"finalizers": ["example.org/kept"]}});
    channels.patch("portal", &PatchParams::default(), &Patch::Merge(&finalizer)).await?;
    cluster.delete(&channels, "portal").await?;
    sealing.shut("portal", Some("portal")).await.context("while a finalizer holds the Channel")?;
    sealing.closed_to("portal").await.context("while a finalizer holds the Channel")?;
    let lifted = json!({"metadata": {"finalizers": []}});
    channels.patch("portal", &PatchParams::default(), &Patch::Merge(&lifted)).await?;
    cluster.gone(&channels, "portal").await?;
    cluster.apply_all(sealing.scenario.created()).await?;
    sealing.same_again().await?;

    // Deleted while nobody looks: withdrawn at the next start.
    operator.stop();
    cluster.delete(&channels, "portal").await?;
    cluster.gone(&channels, "portal").await?;
    ensure!(
        cluster.may_seal(&sealing.tokens["portal"].0, &sealing.tokens["portal"].1).await?,
        "who withdrew it?"
    );
    let mut operator = cluster.operator().await?;
    let took = sealing.shut_within(PATIENCE, "portal", Some("portal")).await?;
    println!("access of a Channel deleted while the operator was down ended {took:.1?} after the start");
    sealing.intact(&sealing.both()).await?;
    cluster.apply_all(sealing.scenario.created()).await?;
    sealing.same_again().await?;

    // A namespace that loses its label is frozen: nothing of it goes, and a Channel deleted in it does.
    let namespaces = cluster.api("v1", "Namespace", "").await?;
    let unlabel = json!({"metadata": {"labels": {"subrosa.dev/trust-domain": null}}});
    namespaces.patch(&front, &PatchParams::default(), &Patch::Merge(&unlabel)).await?;
    let frozen = |status: &subrosa_crds::ChannelStatus| wait::reason(status, "Ready") == "NamespaceFrozen";
    wait::channel(&cluster.admin, &front, "voice", PATIENCE, frozen).await?;
    sealing.intact(&sealing.both()).await?;
    ensure!(
        cluster.may_seal(&sealing.tokens["voice"].0, &sealing.tokens["voice"].1).await?,
        "frozen, not shut"
    );
    cluster.delete(&channels, "voice").await?;
    sealing.shut("voice", None).await.context("a Channel of a frozen namespace")?;
    let label = json!({"metadata": {"labels": {"subrosa.dev/trust-domain": DOMAIN}}});
    namespaces.patch(&front, &PatchParams::default(), &Patch::Merge(&label)).await?;
    cluster.apply_all(sealing.scenario.created()).await?;
    sealing.same_again().await?;

    // A namespace, with all its Channels.
    cluster.delete(&namespaces, &front).await?;
    let took = sealing.shut_within(PATIENCE, "voice", None).await?;
    println!("access of a deleted namespace ended after {took:.1?}");
    sealing.shut_within(PATIENCE, "portal", None).await?;
    cluster.gone(&namespaces, &front).await?;
    sealing.intact(&[&data]).await?;
    sealing.closed_to("voice").await?;
    sealing.closed_to("portal").await?;

    // One of the same name is another: it finds neither the old keys nor the old access.
    let again = Scenario::found(&cluster, "one").await?;
    ensure!(again.id("voice") != sealing.scenario.id("voice") && again.id("db") == sealing.scenario.id("db"));
    let uid = namespaces.get(&front).await?.metadata.uid.context("a UID")?;
    let mut created = again.created();
    // Who consented to the one before consents to this one too.
    for manifest in created.iter_mut().filter(|one| one["metadata"]["namespace"] == data.as_str()) {
        manifest["metadata"]["annotations"][CONSENTS_ANNOTATION] = format!("{front}={uid}").into();
    }
    cluster.apply_all(created).await?;
    cluster.whole(&again.channels()).await?;
    let token = cluster.workload_token(&front, "sbc").await?;
    ensure!(!cluster.may_seal(&token, &sealing.tokens["voice"].1).await?, "a recreated namespace inherits");
    let keys = cluster.keys().await?;
    let own = keys.iter().find(|key| key.starts_with(&format!("{}.call-recording.", again.id("voice"))));
    ensure!(
        cluster.may_seal(&token, own.context("no key of its own")?).await?,
        "a recreated namespace has nothing"
    );

    // Deleted while nobody looks.
    operator.stop();
    cluster.delete(&namespaces, &front).await?;
    cluster.gone(&namespaces, &front).await?;
    let _operator = cluster.operator().await?;
    let look = || async {
        match cluster.may_seal(&token, own.unwrap()).await {
            Ok(false) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    };
    wait::until(PATIENCE, look).await.context("a namespace deleted while the operator was down")?;
    sealing.intact(&[&data]).await?;
    ensure!(cluster.keys().await?.contains(own.unwrap()), "the key of the second namespace is gone");
    denies_were_never_gone(&cluster, &[&data])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trust_domain_and_the_definitions_go_without_opening_or_destroying() -> Result<()> {
    let cluster = Cluster::build().await?;
    let mut operator = cluster.operator().await?;
    let mut sealing = SealingScenario::found(&cluster, "two").await?;
    let domains = cluster.subrosa("TrustDomain", "").await?;
    let found = domains.get(DOMAIN).await?;
    ensure!(found.metadata.finalizers.iter().flatten().any(|one| one == WITHDRAW_ACCESS_FINALIZER));
    let before = snapshot::living(&cluster, &sealing.scenario).await?;

    // Held back by somebody else's finalizer it is there for as long as a slow operator may take to withdraw.
    let held = json!({"metadata": {"finalizers": [WITHDRAW_ACCESS_FINALIZER, "example.org/kept"]}});
    domains.patch(DOMAIN, &PatchParams::default(), &Patch::Merge(&held)).await?;
    cluster.delete(&domains, DOMAIN).await?;
    let took = sealing.shut("voice", Some("sbc")).await?;
    println!("access of a deleted TrustDomain ended after {took:.1?}");
    let withdrawn = || async {
        let found = domains.get(DOMAIN).await.map_err(|error| error.to_string())?;
        let left = found.metadata.finalizers.unwrap_or_default();
        if left == ["example.org/kept"] { Ok(()) } else { Err(format!("{left:?}")) }
    };
    wait::until(PATIENCE, withdrawn).await?;
    // Whatever still happens in its namespaces gives nobody access again, and closes nothing.
    touch(&cluster, &sealing.scenario, "29d").await?;
    says(&cluster, &sealing.scenario, "TrustDomainTerminating").await?;
    sealing.shut("portal", Some("portal")).await?;
    policies_are(&cluster, &sealing.scenario, &before).await?;
    let lifted = json!({"metadata": {"finalizers": []}});
    domains.patch(DOMAIN, &PatchParams::default(), &Patch::Merge(&lifted)).await?;
    cluster.gone(&domains, DOMAIN).await?;
    touch(&cluster, &sealing.scenario, "28d").await?;
    says(&cluster, &sealing.scenario, "TrustDomainNotFound").await?;
    sealing.shut("voice", Some("sbc")).await?;
    sealing.shut("portal", Some("portal")).await?;
    sealing.intact(&sealing.both()).await?;
    policies_are(&cluster, &sealing.scenario, &before).await?;
    cluster.apply(cluster.trust_domain()).await?;
    cluster.apply_all(sealing.scenario.created()).await?;
    sealing.same_again().await?;

    // Deleted while nobody looks: it waits for its finalizer.
    operator.stop();
    cluster.delete(&domains, DOMAIN).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    ensure!(domains.get_opt(DOMAIN).await?.is_some(), "it went with access still given");
    let mut operator = cluster.operator().await?;
    sealing.shut_within(PATIENCE, "voice", Some("sbc")).await?;
    sealing.shut_within(PATIENCE, "portal", Some("portal")).await?;
    cluster.gone(&domains, DOMAIN).await?;
    sealing.intact(&sealing.both()).await?;
    // What they say from before the stop is not what they become after this.
    says(&cluster, &sealing.scenario, "TrustDomainNotFound").await?;
    cluster.apply(cluster.trust_domain()).await?;
    sealing.same_again().await?;

    // The definitions themselves, and with them everything that was defined.
    let definitions = cluster.api("apiextensions.k8s.io/v1", "CustomResourceDefinition", "").await?;
    let names = ["channels", "trustdomains", "externalparties", "retentionpolicies"];
    for name in names {
        definitions.delete(&format!("{name}.subrosa.dev"), &Default::default()).await?;
    }
    let took = sealing.shut_within(PATIENCE, "voice", Some("sbc")).await?;
    println!("access ended {took:.1?} after the definitions were deleted");
    sealing.shut_within(PATIENCE, "portal", Some("portal")).await?;
    for name in names {
        cluster.gone(&definitions, &format!("{name}.subrosa.dev")).await?;
    }
    sealing.intact(&sealing.both()).await?;
    all_again(&cluster, &sealing.scenario).await?;
    sealing.same_again().await.context("after the definitions came back")?;

    // And while nobody looks.
    operator.stop();
    for name in names {
        definitions.delete(&format!("{name}.subrosa.dev"), &Default::default()).await?;
    }
    cluster.gone(&definitions, "channels.subrosa.dev").await?;
    let operator = Operator::spawn(&cluster.installed, cluster.options())?;
    let begun = Instant::now();
    for name in names {
        cluster.gone(&definitions, &format!("{name}.subrosa.dev")).await?;
    }
    println!(
        "the definitions deleted while the operator was down went {:.1?} after the start",
        begun.elapsed()
    );
    sealing.shut("voice", Some("sbc")).await?;
    sealing.shut("portal", Some("portal")).await?;
    sealing.intact(&sealing.both()).await?;
    all_again(&cluster, &sealing.scenario).await?;
    sealing.same_again().await.context("after the definitions came back again")?;
    let ready = || async {
        match operator.readiness().await {
            Ok((true, _)) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    };
    wait::until(SEEN_AGAIN, ready).await?;
    denies_were_never_gone(&cluster, &sealing.both())
}

/// A reconcile that is under way when its Channel goes must not give access afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_is_deleted_in_the_midst_of_it_gets_no_access() -> Result<()> {
    let mut rig = Rig::build().await?;
    rig.start(4).await?;
    let scenario = Scenario::found(&rig.cluster, "midst").await?;
    let cluster = &rig.cluster;
    // The Secret's answer is what stands between the intent and the grant.
    let path = format!("/api/v1/namespaces/{}/secrets", scenario.front);
    rig.tap.count_only(move |write| write.path == path);
    let (reached, arrival) = std::sync::mpsc::channel();
    let (release, held) = std::sync::mpsc::channel::<()>();
    rig.tap.after_write(1, move |_| {
        reached.send(()).ok();
        held.recv_timeout(Duration::from_secs(30)).ok();
    });
    let voice = scenario.created().into_iter().find(|one| one["metadata"]["name"] == "voice").unwrap();
    cluster.apply(voice).await?;
    tokio::task::spawn_blocking(move || arrival.recv_timeout(PATIENCE)).await??;
    let id = scenario.id("voice");
    ensure!(
        cluster.record(id.as_str()).await?.is_some_and(|record| !record["access"].is_null()),
        "no intent"
    );
    let channels = cluster.subrosa("Channel", &scenario.front).await?;
    cluster.delete(&channels, "voice").await?;
    cluster.gone(&channels, "voice").await?;
    // Long enough for a search for orphans, which may wait for the reconcile or not.
    tokio::time::sleep(Duration::from_secs(4)).await;
    release.send(())?;
    let uid = scenario.account_uid(cluster, "sbc").await?;
    let look = || async {
        let record = cluster.record(id.as_str()).await.map_err(|error| format!("{error:#}"))?;
        match record.is_some_and(|record| record["access"].is_null()) {
            true => Ok(()),
            false => Err("the record still gives access".to_owned()),
        }
    };
    wait::until(Duration::from_secs(30), look).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let alias = snapshot::alias(cluster, &uid).await?;
    ensure!(alias.is_null(), "a Channel that is gone has access: {alias}");
    Ok(())
}
