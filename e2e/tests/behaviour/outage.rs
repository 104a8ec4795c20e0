//! While Vault is sealed or hangs, and even when not a record is known: what is withdrawn closes, and nothing else does.

use serde_json::{Value, json};

use subrosa_e2e::{Mode, Tap};

use crate::world::{World, channel, connection, vault};

const NS: &str = "cc-front";

#[tokio::test(flavor = "multi_thread")]
async fn withdrawals_do_not_wait_for_vault() {
    let mut world = World::start().await;
    world.governed(NS).await;
    hub(&world, &["b", "c", "d", "s"]).await;
    for name in ["b", "c", "d", "s"] {
        spoke(&world, name, true).await;
    }
    for name in ["hub", "b", "c", "d", "s"] {
        world.whole(NS, name).await;
    }
    // A peer whose declaration cannot be followed stays as it was.
    world.apply(&stalled_spoke()).await;
    world.stalled(NS, "s", "DNSNameNotAllowed").await;
    let mut authorities = std::collections::BTreeMap::new();
    for name in ["hub", "b", "c", "d", "s"] {
        authorities.insert(name, world.files(NS, name).await.authority().to_owned());
    }
    let open_to = async |names: &[&str]| {
        let rules: Vec<_> = names.iter().map(|name| format!("to cc-front:app={name} TCP/443")).collect();
        world.opens(NS, "hub", &rules.iter().map(String::as_str).collect::<Vec<_>>()).await;
    };
    let trusts = async |world: &World, names: &[&str]| {
        world
            .files_where(NS, "hub", |files| {
                let trusted = |name: &&str| files.trusting(&authorities[*name]).contains(&"servers-ca.crt");
                ["b", "c", "d", "s"].iter().all(|name| trusted(name) == names.contains(name))
            })
            .await;
    };
    open_to(&["b", "c", "d", "s"]).await;
    trusts(&world, &["b", "c", "d", "s"]).await;
    let bao = world.env.openbao();
    bao.seal().await.unwrap();

    for (withdrawing, left) in [("b", &["c", "d", "s"][..]), ("c", &["d", "s"])] {
        spoke(&world, withdrawing, false).await;
        world.opens(NS, withdrawing, &[]).await;
        open_to(left).await;
        let hub = &authorities["hub"];
        world.files_where(NS, withdrawing, |files| files.trusting(hub).is_empty()).await;
        trusts(&world, left).await;
        let told = world.not_ready(NS, "hub", "VaultSealed").await;
        assert!(told.message.contains("unseal Vault"), "{told:?}");
    }
    let status = world.channel(NS, "hub", |_| true).await;
    assert_ne!(connection(&status, "b"), Some("Open"));
    assert_ne!(connection(&status, "d"), Some("Closed"), "it is not: policy and trust are as they were");
    let domain = world.domain(|domain| vault(domain) == ("False", "VaultSealed")).await;
    assert!(domain.status.unwrap().vault.unwrap().sealed);

    // After a restart not even the record is known: nothing opens, nothing closes but what is withdrawn.
    world.restart_operator().await;
    spoke(&world, "e", true).await;
    world.not_ready(NS, "e", "VaultSealed").await;
    world.opens(NS, "e", &[]).await;
    assert!(world.secret(NS, "e-mtls").await.is_none());
    let rules = |names: &[&str]| {
        names.iter().map(|name| format!("to cc-front:app={name} TCP/443")).collect::<Vec<_>>()
    };
    let both = rules(&["d", "s"]);
    world.not_ready(NS, "hub", "VaultSealed").await;
    world.opens(NS, "hub", &both.iter().map(String::as_str).collect::<Vec<_>>()).await;
    world.opens(NS, "s", &["from cc-front:app=hub TCP/443"]).await;
    spoke(&world, "d", false).await;
    world.opens(NS, "d", &[]).await;
    let one = rules(&["s"]);
    world.opens(NS, "hub", &one.iter().map(String::as_str).collect::<Vec<_>>()).await;
    trusts(&world, &["s"]).await;
    world.files_where(NS, "d", |files| files.trusting(&authorities["hub"]).is_empty()).await;
    let files = world.files(NS, "hub").await;
    assert_eq!(files.trusting(&authorities["s"]), ["ca.crt", "servers-ca.crt"]);

    let pid = world.operator_pid();
    world.env.openbao().unseal().await.unwrap();
    world.domain(|domain| vault(domain) == ("True", "LoggedIn")).await;
    for name in ["b", "c", "d", "s"] {
        spoke(&world, name, true).await;
    }
    hub(&world, &["b", "c", "d", "s", "e"]).await;
    for name in ["hub", "b", "c", "d", "s", "e"] {
        world.whole(NS, name).await;
    }
    assert_eq!(world.operator_pid(), pid, "healed without a restart");
}

async fn hub(world: &World, peers: &[&str]) {
    let peers: Vec<_> = peers.iter().map(|name| json!({"name": name})).collect();
    world.apply(&channel(NS, "hub", json!({"connectsTo": peers}))).await;
}

async fn spoke(world: &World, name: &str, consents: bool) {
    let accepts = if consents { json!([{"name": "hub"}]) } else { json!([]) };
    world
        .apply(&channel(NS, name, json!({"listeners": [{"name": "https", "port": 443}], "accepts": accepts})))
        .await;
}

fn stalled_spoke() -> Value {
    channel(
        NS,
        "s",
        json!({
            "listeners": [{"name": "https", "port": 443}], "accepts": [{"name": "hub"}],
            "tls": {"dnsNames": ["not.allowed.example"]},
        }),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawal_does_not_wait_until_a_vault_that_hangs_is_given_up() {
    let mut world = World::start().await;
    let tap = Tap::new();
    let proxy = world.env.proxy_openbao(&tap).await.unwrap();
    let mut domain = world.installed.trust_domain(&world.env);
    domain["spec"]["vault"]["address"] = json!(proxy.endpoint().url);
    world.apply(&domain).await;
    world.governed(NS).await;
    hub(&world, &["b", "c"]).await;
    for name in ["b", "c"] {
        spoke(&world, name, true).await;
    }
    for name in ["hub", "b", "c"] {
        world.whole(NS, name).await;
    }
    // Nothing is remembered, and Vault takes connections and answers nothing.
    world.stop_operator();
    tap.set_mode(Mode::Hang);
    spoke(&world, "b", false).await;
    world.start_operator().await;
    world.opens(NS, "b", &[]).await;
    world.opens(NS, "hub", &["to cc-front:app=c TCP/443"]).await;
    let log = world.log();
    assert!(!log.contains("Vault lets nobody in yet"), "it was given up first: {log}");
    world.opens(NS, "c", &["from cc-front:app=hub TCP/443"]).await;
    tap.set_mode(Mode::Pass);
    world.whole(NS, "c").await;
}
