//! Deleting opens nothing and destroys nothing: access ends at once, every key and every default deny
//! stays, and what is applied again is what it was.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use kube::{
    Api,
    api::{DynamicObject, Patch, PatchParams},
};
use serde_json::{Value, json};
use subrosa_crds::WITHDRAW_ACCESS_FINALIZER;
use subrosa_e2e::{Operator, audit::ApiAuditEntry, installation::retention_policy, wait};

use crate::{
    crash::Rig,
    estate::Estate,
    house::{DOMAIN, House, PATIENCE},
    picture,
    scenario::Scenario,
};

/// How long an operator may take to see again what was not defined for a while: its watches are taken up again
/// with pauses that grow to a minute.
const SEEN_AGAIN: Duration = Duration::from_secs(150);

/// Nobody removed a default deny in a namespace that goes on.
fn denies_were_never_gone(house: &House, surviving: &[&str]) -> Result<()> {
    let removed: Vec<String> = house
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

/// Waits until every Channel says that its TrustDomain is gone.
async fn ungoverned(house: &House, scenario: &Scenario) -> Result<()> {
    for (namespace, name) in scenario.channels() {
        let gone =
            |status: &subrosa_crds::ChannelStatus| wait::reason(status, "Ready") == "TrustDomainNotFound";
        wait::channel(&house.admin, namespace, name, PATIENCE, gone).await?;
    }
    Ok(())
}

/// Applies the definitions again and everything that was defined, and waits until it is whole.
async fn all_again(house: &House, scenario: &Scenario) -> Result<()> {
    for crd in subrosa_crds::all() {
        house.apply(serde_json::to_value(crd)?).await?;
    }
    // That they are served may be what the API server says of those before.
    for kind in ["TrustDomain", "ExternalParty", "RetentionPolicy", "Channel"] {
        let served = || async {
            let api = house.subrosa(kind, "").await.map_err(|error| format!("{error:#}"))?;
            api.list(&Default::default()).await.map(drop).map_err(|error| error.to_string())
        };
        wait::until(PATIENCE, served).await.with_context(|| format!("{kind} is not served"))?;
    }
    house.apply(house.trust_domain()).await?;
    house.apply(retention_policy()).await?;
    house.apply_all(scenario.created()).await?;
    for (namespace, name) in scenario.channels() {
        wait::channel(&house.admin, namespace, name, SEEN_AGAIN, wait::whole).await?;
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
    let house = House::build().await?;
    let mut operator = house.operator().await?;
    let mut estate = Estate::found(&house, "one").await?;
    let (front, data) = (estate.scenario.front.clone(), estate.scenario.data.clone());
    let channels = house.subrosa("Channel", &front).await?;

    let refused = channels.delete("voice", &Default::default()).await.unwrap_err().to_string();
    ensure!(refused.contains("subrosa.dev/confirm-delete"), "{refused}");
    // However busy it is otherwise.
    let busy = tokio::spawn(churn(house.subrosa("Channel", &data).await?));
    tokio::time::sleep(Duration::from_secs(2)).await;
    house.delete(&channels, "voice").await?;
    let took = estate.shut("voice", Some("sbc")).await?;
    println!("access of a deleted Channel ended after {took:.1?}");
    estate.closed_to("voice").await?;
    busy.abort();
    estate.seals("portal", true).await?;
    estate.intact(&estate.both()).await?;
    house.apply_all(estate.scenario.created()).await?;
    estate.same_again().await?;

    // Held back by somebody else's finalizer, it has no access all the same.
    let finalizer = json!({"metadata": {"finalizers": ["example.org/kept"]}});
    channels.patch("portal", &PatchParams::default(), &Patch::Merge(&finalizer)).await?;
    house.delete(&channels, "portal").await?;
    estate.shut("portal", Some("portal")).await.context("while a finalizer holds the Channel")?;
    estate.closed_to("portal").await.context("while a finalizer holds the Channel")?;
    let lifted = json!({"metadata": {"finalizers": []}});
    channels.patch("portal", &PatchParams::default(), &Patch::Merge(&lifted)).await?;
    house.gone(&channels, "portal").await?;
    house.apply_all(estate.scenario.created()).await?;
    estate.same_again().await?;

    // Deleted while nobody looks: withdrawn at the next start.
    operator.stop();
    house.delete(&channels, "portal").await?;
    house.gone(&channels, "portal").await?;
    ensure!(
        house.may_seal(&estate.tokens["portal"].0, &estate.tokens["portal"].1).await?,
        "who withdrew it?"
    );
    let mut operator = house.operator().await?;
    let took = estate.shut_within(PATIENCE, "portal", Some("portal")).await?;
    println!("access of a Channel deleted while the operator was down ended {took:.1?} after the start");
    estate.intact(&estate.both()).await?;
    house.apply_all(estate.scenario.created()).await?;
    estate.same_again().await?;

    // A namespace that loses its label is frozen: nothing of it goes, and a Channel deleted in it does.
    let namespaces = house.api("v1", "Namespace", "").await?;
    let unlabel = json!({"metadata": {"labels": {"subrosa.dev/trust-domain": null}}});
    namespaces.patch(&front, &PatchParams::default(), &Patch::Merge(&unlabel)).await?;
    let frozen = |status: &subrosa_crds::ChannelStatus| wait::reason(status, "Ready") == "NamespaceFrozen";
    wait::channel(&house.admin, &front, "voice", PATIENCE, frozen).await?;
    estate.intact(&estate.both()).await?;
    ensure!(house.may_seal(&estate.tokens["voice"].0, &estate.tokens["voice"].1).await?, "frozen, not shut");
    house.delete(&channels, "voice").await?;
    estate.shut("voice", None).await.context("a Channel of a frozen namespace")?;
    let label = json!({"metadata": {"labels": {"subrosa.dev/trust-domain": DOMAIN}}});
    namespaces.patch(&front, &PatchParams::default(), &Patch::Merge(&label)).await?;
    house.apply_all(estate.scenario.created()).await?;
    estate.same_again().await?;

    // A namespace, with all its Channels.
    house.delete(&namespaces, &front).await?;
    let took = estate.shut_within(PATIENCE, "voice", None).await?;
    println!("access of a deleted namespace ended after {took:.1?}");
    estate.shut_within(PATIENCE, "portal", None).await?;
    house.gone(&namespaces, &front).await?;
    estate.intact(&[&data]).await?;
    estate.closed_to("voice").await?;
    estate.closed_to("portal").await?;

    // One of the same name is another: it finds neither the old keys nor the old access.
    let again = Scenario::found(&house, "one").await?;
    ensure!(again.id("voice") != estate.scenario.id("voice") && again.id("db") == estate.scenario.id("db"));
    house.apply_all(again.created()).await?;
    house.whole(&again.channels()).await?;
    let token = house.workload_token(&front, "sbc").await?;
    ensure!(!house.may_seal(&token, &estate.tokens["voice"].1).await?, "a recreated namespace inherits");
    let keys = house.keys().await?;
    let own = keys.iter().find(|key| key.starts_with(&format!("{}.call-recording.", again.id("voice"))));
    ensure!(
        house.may_seal(&token, own.context("no key of its own")?).await?,
        "a recreated namespace has nothing"
    );

    // Deleted while nobody looks.
    operator.stop();
    house.delete(&namespaces, &front).await?;
    house.gone(&namespaces, &front).await?;
    let _operator = house.operator().await?;
    let look = || async {
        match house.may_seal(&token, own.unwrap()).await {
            Ok(false) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    };
    wait::until(PATIENCE, look).await.context("a namespace deleted while the operator was down")?;
    estate.intact(&[&data]).await?;
    ensure!(house.keys().await?.contains(own.unwrap()), "the key of the second namespace is gone");
    denies_were_never_gone(&house, &[&data])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trust_domain_and_the_definitions_go_without_opening_or_destroying() -> Result<()> {
    let house = House::build().await?;
    let mut operator = house.operator().await?;
    let mut estate = Estate::found(&house, "two").await?;
    let domains = house.subrosa("TrustDomain", "").await?;
    let found = domains.get(DOMAIN).await?;
    ensure!(found.metadata.finalizers.iter().flatten().any(|one| one == WITHDRAW_ACCESS_FINALIZER));
    let policies = |seen: &Value| seen["policies"].clone();
    let before = picture::living(&house, &estate.scenario).await?;

    house.delete(&domains, DOMAIN).await?;
    let took = estate.shut("voice", Some("sbc")).await?;
    println!("access of a deleted TrustDomain ended after {took:.1?}");
    house.gone(&domains, DOMAIN).await?;
    // Whatever still happens in its namespaces gives nobody access again.
    for (namespace, name) in estate.scenario.channels() {
        let touched =
            json!({"metadata": {"labels": {"touched": "again"}}, "spec": {"tls": {"duration": "29d"}}});
        let channels = house.subrosa("Channel", namespace).await?;
        channels.patch(name, &PatchParams::default(), &Patch::Merge(&touched)).await?;
    }
    ungoverned(&house, &estate.scenario).await?;
    estate.shut("voice", Some("sbc")).await?;
    estate.shut("portal", Some("portal")).await?;
    estate.intact(&estate.both()).await?;
    let after = picture::living(&house, &estate.scenario).await?;
    ensure!(policies(&after) == policies(&before), "policies changed: {after:#}");
    house.apply(house.trust_domain()).await?;
    house.apply_all(estate.scenario.created()).await?;
    estate.same_again().await?;

    // Deleted while nobody looks: it waits for its finalizer.
    operator.stop();
    house.delete(&domains, DOMAIN).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    ensure!(domains.get_opt(DOMAIN).await?.is_some(), "it went with access still given");
    let mut operator = house.operator().await?;
    estate.shut_within(PATIENCE, "voice", Some("sbc")).await?;
    estate.shut_within(PATIENCE, "portal", Some("portal")).await?;
    house.gone(&domains, DOMAIN).await?;
    estate.intact(&estate.both()).await?;
    // What they say from before the stop is not what they become after this.
    ungoverned(&house, &estate.scenario).await?;
    house.apply(house.trust_domain()).await?;
    estate.same_again().await?;

    // The definitions themselves, and with them everything that was defined.
    let definitions = house.api("apiextensions.k8s.io/v1", "CustomResourceDefinition", "").await?;
    let names = ["channels", "trustdomains", "externalparties", "retentionpolicies"];
    for name in names {
        definitions.delete(&format!("{name}.subrosa.dev"), &Default::default()).await?;
    }
    let took = estate.shut_within(PATIENCE, "voice", Some("sbc")).await?;
    println!("access ended {took:.1?} after the definitions were deleted");
    estate.shut_within(PATIENCE, "portal", Some("portal")).await?;
    for name in names {
        house.gone(&definitions, &format!("{name}.subrosa.dev")).await?;
    }
    estate.intact(&estate.both()).await?;
    all_again(&house, &estate.scenario).await?;
    estate.same_again().await.context("after the definitions came back")?;

    // And while nobody looks.
    operator.stop();
    for name in names {
        definitions.delete(&format!("{name}.subrosa.dev"), &Default::default()).await?;
    }
    house.gone(&definitions, "channels.subrosa.dev").await?;
    let operator = Operator::spawn(&house.installed, house.options())?;
    let begun = Instant::now();
    for name in names {
        house.gone(&definitions, &format!("{name}.subrosa.dev")).await?;
    }
    println!(
        "the definitions deleted while the operator was down went {:.1?} after the start",
        begun.elapsed()
    );
    estate.shut("voice", Some("sbc")).await?;
    estate.shut("portal", Some("portal")).await?;
    estate.intact(&estate.both()).await?;
    all_again(&house, &estate.scenario).await?;
    estate.same_again().await.context("after the definitions came back again")?;
    let ready = || async {
        match operator.readiness().await {
            Ok((true, _)) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    };
    wait::until(SEEN_AGAIN, ready).await?;
    denies_were_never_gone(&house, &estate.both())
}

/// A reconcile that is under way when its Channel goes must not give access afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_is_deleted_in_the_midst_of_it_gets_no_access() -> Result<()> {
    let mut rig = Rig::build().await?;
    rig.start(4).await?;
    let scenario = Scenario::found(&rig.house, "midst").await?;
    let house = &rig.house;
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
    house.apply(voice).await?;
    tokio::task::spawn_blocking(move || arrival.recv_timeout(PATIENCE)).await??;
    let id = scenario.id("voice");
    ensure!(house.ledger(id.as_str()).await?.is_some_and(|ledger| !ledger["access"].is_null()), "no intent");
    let channels = house.subrosa("Channel", &scenario.front).await?;
    house.delete(&channels, "voice").await?;
    house.gone(&channels, "voice").await?;
    // Long enough for a search for orphans, which may wait for the reconcile or not.
    tokio::time::sleep(Duration::from_secs(4)).await;
    release.send(())?;
    let uid = scenario.account_uid(house, "sbc").await?;
    let look = || async {
        let ledger = house.ledger(id.as_str()).await.map_err(|error| format!("{error:#}"))?;
        match ledger.is_some_and(|ledger| ledger["access"].is_null()) {
            true => Ok(()),
            false => Err("the ledger still gives access".to_owned()),
        }
    };
    wait::until(Duration::from_secs(30), look).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let alias = picture::alias(house, &uid).await?;
    ensure!(alias.is_null(), "a Channel that is gone has access: {alias}");
    Ok(())
}
