//! One generation of an authority follows another while each pod goes on with the key it has.

use jiff::Timestamp;

use crate::{
    generations::{self, count, next},
    handshake,
    issued::{town, volume},
    kubelet::{self, Node},
    world::World,
};

const NS: &str = "cc-front";
const DB: &str = "db.cc-data.svc";

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_rotates_under_pods_with_keys_of_their_own() {
    let mut world = World::start().await;
    town(&world).await;
    let node = Node::register(&world.env, "node-1").await;
    let pod = node.pod(&world, NS, "voice-0", "voice", "sbc").await;
    let asked = node.ask(&world, &pod, kubelet::key()).await;
    let first = volume(&world, &asked).await;
    let old = first.authority().to_owned();
    let unaware = world.files("cc-data", "db").await;
    handshake::between(&first, &unaware, DB).unwrap();
    let ends = asked.now(&world).await.status.unwrap().not_after.unwrap().0;
    let record = world.record(NS, "voice").await;
    let noted: Timestamp = record["authority"][0]["lastLeafNotAfter"].as_str().unwrap().parse().unwrap();
    assert!(noted >= ends, "no generation may go before {ends}, the record says {noted}");

    // It is published: the peer trusts both, and what pods ask for is still signed by the first.
    generations::ask_for_another(&mut world, NS, "voice").await;
    world.channel(NS, "voice", |status| next(status) == Some(2)).await;
    let db = world.files_where("cc-data", "db", |files| count(files.get("clients-ca.crt")) == 2).await;
    handshake::between(&first, &db, DB).unwrap();
    let again = volume(&world, &node.ask(&world, &pod, kubelet::key()).await).await;
    assert_eq!(again.authority(), old);

    // It signs: the next pod gets the new one, and who has the old one connects as before.
    generations::let_it_sign(&mut world, NS, "voice").await;
    let other = node.pod(&world, NS, "voice-1", "voice", "sbc").await;
    let second = volume(&world, &node.ask(&world, &other, kubelet::key()).await).await;
    assert_ne!(second.authority(), old);
    let db = world.files("cc-data", "db").await;
    for pod in [&first, &again, &second] {
        handshake::between(pod, &db, DB).unwrap();
    }
    handshake::between(&second, &unaware, DB).expect_err("files from before know nothing of generation 2");

    // The last certificate of the first has expired.
    generations::expire_the_first(&mut world, NS, "voice").await;
    let db = world.files_where("cc-data", "db", |files| count(files.get("clients-ca.crt")) == 1).await;
    handshake::between(&second, &db, DB).unwrap();
    handshake::between(&first, &db, DB).expect_err("nobody trusts the first generation any more");
}
