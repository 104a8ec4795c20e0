//! What was deleted or changed by others becomes as it was, and says why.

use k8s_openapi::api::{networking::v1::NetworkPolicy, rbac::v1::RoleBinding};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::json;

use crate::{
    handshake,
    policies::tcp,
    tampering::Impostor,
    world::{DOMAIN, World, channel},
};

const NS: &str = "cc-front";
const SERVED: &str = "to cc-front:app=server TCP/5061";

#[tokio::test(flavor = "multi_thread")]
async fn what_others_break_heals() {
    let world = World::start().await;
    world.governed(NS).await;
    let listening = |name: &str| {
        channel(
            NS,
            name,
            json!({"listeners": [{"name": "sips", "port": 5061}], "accepts": [{"name": "client"}]}),
        )
    };
    for manifest in [
        listening("server"),
        channel(NS, "client", json!({"connectsTo": [{"name": "server"}]})),
        channel(NS, "gone", json!({})),
        channel(NS, "bent", json!({})),
        channel(NS, "usurped", json!({})),
    ] {
        world.apply(&manifest).await;
    }
    for name in ["server", "client", "gone", "bent", "usurped"] {
        world.whole(NS, name).await;
    }
    let pid = world.operator_pid();
    a_deleted_secret_is_issued_again(&world).await;
    a_broken_leaf_or_key_is_issued_again(&world).await;
    a_leaf_of_another_authority_is_replaced(&world).await;
    trust_files_are_put_right_without_a_new_leaf(&world).await;
    the_channels_policy_is_put_right(&world).await;
    the_default_deny_is_put_right(&world).await;
    the_operators_rights_are_put_right(&world).await;
    assert_eq!(world.operator_pid(), pid);
}

async fn a_deleted_secret_is_issued_again(world: &World) {
    let before = world.files(NS, "gone").await;
    world.delete_secret(NS, "gone-mtls").await;
    let after = world.files_where(NS, "gone", |files| files.get("tls.crt") != before.get("tls.crt")).await;
    assert_ne!(after.get("tls.key"), before.get("tls.key"), "a lost key is not used again");
    assert_eq!(after.authority(), before.authority());
    assert_eq!(world.issuances(NS, "gone").await, ["Missing", "Missing"]);
    world.whole(NS, "gone").await;
}

async fn a_broken_leaf_or_key_is_issued_again(world: &World) {
    let before = world.files(NS, "bent").await;
    world.tamper(NS, "bent", &[("tls.crt", Some("-----BEGIN CERTIFICATE-----\nAAAA\n"))]).await;
    let after =
        world.files_where(NS, "bent", |files| files.get("tls.crt").matches("BEGIN").count() == 2).await;
    assert_ne!(after.get("tls.crt"), before.get("tls.crt"));
    assert!(world.event(NS, "bent", "CertificateIssued").await.starts_with("Malformed"));
    assert_eq!(world.issuances(NS, "bent").await, ["Missing", "Malformed"]);
    world.whole(NS, "bent").await;

    let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
    world.tamper(NS, "bent", &[("tls.key", Some(&other))]).await;
    let healed = world
        .files_where(NS, "bent", |files| {
            files.get("tls.key") != other && files.get("tls.crt") != after.get("tls.crt")
        })
        .await;
    assert!(handshake::is_pair(&healed), "the key is the certificate's");
    assert_eq!(world.issuances(NS, "bent").await, ["Missing", "Malformed", "KeyMismatch"]);
    world.whole(NS, "bent").await;
}

async fn a_leaf_of_another_authority_is_replaced(world: &World) {
    let before = world.files(NS, "usurped").await;
    let other = world.files(NS, "gone").await;
    let impostor = Impostor::of(NS, "usurped", DOMAIN);
    for (what, chain, key) in [
        ("WrongIssuer", other.get("tls.crt"), other.get("tls.key")),
        ("Malformed", impostor.chain.as_str(), impostor.key.as_str()),
    ] {
        world.tamper(NS, "usurped", &[("tls.crt", Some(chain)), ("tls.key", Some(key))]).await;
        let after = world.files_where(NS, "usurped", |files| files.authority() == before.authority()).await;
        assert_ne!(after.get("tls.key"), key);
        assert!(handshake::is_pair(&after));
        assert_eq!(world.issuances(NS, "usurped").await.last().map(String::as_str), Some(what));
        world.whole(NS, "usurped").await;
    }
}

async fn trust_files_are_put_right_without_a_new_leaf(world: &World) {
    let good = world.files(NS, "server").await;
    let impostor = Impostor::of(NS, "client", DOMAIN);
    let widened = format!("{}{}", good.get("clients-ca.crt"), impostor.authority);
    for (what, entries) in [
        ("an authority added", vec![("clients-ca.crt", Some(widened.as_str()))]),
        ("an authority instead", vec![("ca.crt", Some(impostor.authority.as_str()))]),
        ("a file removed", vec![("servers-ca.crt", None)]),
        ("a file emptied", vec![("clients-ca.crt", Some(""))]),
        ("a file added", vec![("external-carrier-ca.crt", Some(impostor.authority.as_str()))]),
        ("another added", vec![("mine-ca.crt", Some(impostor.authority.as_str()))]),
    ] {
        world.tamper(NS, "server", &entries).await;
        let healed = world.files_where(NS, "server", |files| files.0 == good.0).await;
        assert_eq!(healed.trusting(impostor.authority.trim()), [""; 0], "{what}");
    }
    assert_eq!(world.issuances(NS, "server").await, ["Missing"], "no leaf is spent on it");
    world.event(NS, "server", "TrustWithdrawn").await;
    world.whole(NS, "server").await;
    let client = world.files(NS, "client").await;
    handshake::between(&client, &world.files(NS, "server").await, "server.cc-front.svc").unwrap();
}

async fn the_channels_policy_is_put_right(world: &World) {
    let name = "subrosa-channel-client";
    let good = world.channel_policy(NS, "client").await;
    world.delete_policy(NS, name).await;
    world.opens(NS, "client", &[SERVED]).await;
    for (what, patch) in [
        ("open to everybody", json!({"spec": {"ingress": [{}]}})),
        (
            "a port more",
            json!({"spec": {"egress": [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}], "ports": [tcp(443)]}]}}),
        ),
        ("other pods", json!({"spec": {"podSelector": {"matchLabels": {"app": "other"}}}})),
        ("one direction only", json!({"spec": {"policyTypes": ["Egress"]}})),
        ("closed", json!({"spec": {"egress": null, "ingress": null}})),
    ] {
        world.bend_policy(NS, name, patch).await;
        world
            .until(what, || async {
                let found = world.policy(NS, name).await;
                if found.as_ref() == Some(&good) { Ok(()) } else { Err(format!("{found:?}")) }
            })
            .await;
    }
    world.bend_policy(NS, name, json!({"metadata": {"labels": {"subrosa.dev/channel": null}}})).await;
    let api = world.api::<NetworkPolicy>(NS);
    world
        .until("its labels", || async {
            let labels = api.get(name).await.map_err(|error| error.to_string())?.labels().clone();
            if labels.contains_key("subrosa.dev/channel") { Ok(()) } else { Err(format!("{labels:?}")) }
        })
        .await;
    world.whole(NS, "client").await;
}

async fn the_default_deny_is_put_right(world: &World) {
    let name = "subrosa-default-deny";
    let good = world.policy(NS, name).await.unwrap();
    let uid = world.api::<NetworkPolicy>(NS).get(name).await.unwrap().uid();
    let back = async |what: &str| {
        world
            .until(what, || async {
                let found = world.policy(NS, name).await;
                if found.as_ref() == Some(&good) { Ok(()) } else { Err(format!("{found:?}")) }
            })
            .await;
    };
    for (what, patch) in [
        ("ingress open", json!({"spec": {"ingress": [{}]}})),
        ("egress open", json!({"spec": {"egress": [{}]}})),
        ("for some pods", json!({"spec": {"podSelector": {"matchLabels": {"app": "other"}}}})),
        ("one direction only", json!({"spec": {"policyTypes": ["Ingress"]}})),
    ] {
        world.bend_policy(NS, name, patch).await;
        back(what).await;
    }
    world.delete_policy(NS, name).await;
    back("deleted").await;
    let made = world.api::<NetworkPolicy>(NS).get(name).await.unwrap();
    assert_ne!(made.uid(), uid);
    assert!(made.owner_references().is_empty(), "no owner takes it along");
    world.whole(NS, "server").await;
}

async fn the_operators_rights_are_put_right(world: &World) {
    let api: Api<RoleBinding> = world.api(NS);
    let good = api.get("subrosa").await.unwrap();
    let is_back = async |what: &str| {
        world
            .until(what, || async {
                let found = api.get_opt("subrosa").await.map_err(|error| error.to_string())?;
                let same = found
                    .as_ref()
                    .is_some_and(|found| found.subjects == good.subjects && found.role_ref == good.role_ref);
                if same { Ok(()) } else { Err(format!("{found:?}")) }
            })
            .await;
    };
    let someone =
        json!({"subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "mallory"}]});
    api.patch("subrosa", &PatchParams::default(), &Patch::Merge(&someone)).await.unwrap();
    is_back("someone else in the binding").await;
    api.delete("subrosa", &DeleteParams::default()).await.unwrap();
    is_back("the binding deleted").await;
    let before = world.files(NS, "gone").await;
    world.delete_secret(NS, "gone-mtls").await;
    world.files_where(NS, "gone", |files| files.get("tls.crt") != before.get("tls.crt")).await;
    world.whole(NS, "gone").await;
}
