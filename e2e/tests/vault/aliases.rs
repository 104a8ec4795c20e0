//! Grants and withdrawals of several owners in one alias.

use serde_json::{Value, json};
use subrosa_crds::names::ChannelId;
use subrosa_plan::access::alias;
use subrosa_records::{
    aliases::{AliasLocks, WorkloadAliases},
    vault::{
        AliasName, TransitKeyName, Vault,
        identity::{Aliases, auth_accessor},
        transit::{Transit, TransitKeyType},
    },
};

use crate::support::{Bao, MEMBER, World, metadata, mount};

/// The key of an owner that is not there yet: people's roles.
const ROLE: (&str, &str) = ("subrosa_role", "reviewer");

async fn aliases(vault: Vault) -> Aliases {
    let accessor = auth_accessor(&vault, &mount("kubernetes")).await.unwrap().unwrap();
    Aliases::new(vault, accessor)
}

fn id(name: &str) -> ChannelId {
    ChannelId::mint("uid", name)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_have_in_an_alias_survives_grant_and_withdrawal() {
    let world = World::start().await;
    let vault = world.operator().await;
    let voice = id("voice");
    let key = format!("{voice}.chat.2026");
    let transit = Transit::new(vault.clone(), mount("transit"));
    transit.create_key(&TransitKeyName::new(&key).unwrap(), TransitKeyType::Aes256Gcm96, None).await.unwrap();
    let aliases = aliases(vault).await;
    let workloads = WorkloadAliases::new(aliases.clone(), AliasLocks::default());
    let (name, jwt) = world.service_account(MEMBER, "voice").await;
    let token = world.log_in("subrosa-workload", &jwt).await.unwrap();
    let seal = async || {
        let body = json!({"plaintext": "YQ=="});
        world.bao.raw(&token, "POST", &format!("transit/encrypt/{key}"), body).await.0
    };
    let found = async || aliases.find(&name).await.unwrap().unwrap().custom_metadata;

    // Another owner comes first.
    aliases.grant(&name, &metadata(&[ROLE])).await.unwrap();
    assert_eq!(seal().await, 403);
    let earlier = id("earlier");
    workloads.grant(&name, &alias::part(&voice, true, [&earlier])).await.unwrap();
    assert_eq!(
        found().await,
        metadata(&[
            ("subrosa", voice.as_str()),
            ("subrosa_adopted_1", earlier.as_str()),
            ("subrosa_open", voice.as_str()),
            ROLE
        ])
    );
    assert_eq!(seal().await, 200, "a live token gains it");
    workloads.grant(&name, &alias::part(&voice, false, [])).await.unwrap();
    assert_eq!(found().await, metadata(&[("subrosa", voice.as_str()), ROLE]));
    workloads.withdraw(&name, &voice).await.unwrap();
    assert_eq!(found().await, metadata(&[ROLE]), "the other owner's part stays");
    assert_eq!(seal().await, 403, "a live token loses it");

    // Another Channel was granted access since.
    let chat = id("chat");
    workloads.grant(&name, &alias::part(&chat, false, [])).await.unwrap();
    workloads.withdraw(&name, &voice).await.unwrap();
    assert_eq!(found().await, metadata(&[("subrosa", chat.as_str()), ROLE]));

    // With nothing of others in it the alias goes.
    aliases.grant(&name, &alias::part(&chat, false, [])).await.unwrap();
    workloads.withdraw(&name, &chat).await.unwrap();
    assert_eq!(aliases.find(&name).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawal_never_takes_what_another_channel_is_granted_meanwhile() {
    let bao = Bao::start().await;
    let aliases = aliases(bao.operator().await).await;
    let locks = AliasLocks::default();
    let (old, new) = (id("old"), id("new"));
    for round in 0..60 {
        let name = AliasName::new(format!("shared-{round}")).unwrap();
        aliases.grant(&name, &alias::part(&old, true, [])).await.unwrap();
        let workloads = || WorkloadAliases::new(aliases.clone(), locks.clone());
        let (one, other) = (workloads(), workloads());
        let part = alias::part(&new, false, []);
        let withdrawal = async {
            // Each round the two meet in another moment.
            tokio::time::sleep(std::time::Duration::from_micros(20 * round)).await;
            one.withdraw(&name, &old).await
        };
        let (withdrawn, granted) = tokio::join!(withdrawal, other.grant(&name, &part));
        withdrawn.unwrap();
        granted.unwrap();
        let found = aliases.find(&name).await.unwrap().map(|alias| alias.custom_metadata);
        assert_eq!(found, Some(part), "round {round}");
    }
    let listed = bao.admin("LIST", "identity/entity-alias/id", Value::Null).await;
    assert_eq!(listed["data"]["keys"].as_array().map(Vec::len), Some(60));
}
