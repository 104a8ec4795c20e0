//! Who gets through to whom, with OpenSSL and rustls at either end.

use subrosa_plan::certificate::{TrustSources, trust_files};

use super::peers::{ENGINES, talk};
use super::*;

/// The edge, whom it lets in, whom it connects to, and somebody nobody declared.
struct Scene {
    portal: Party,
    sbc: Party,
    db: Party,
    stranger: Party,
}

impl Scene {
    fn new() -> Self {
        let made = Timestamp::now().checked_add(days(-60)).unwrap();
        let party = |name| Party::with_authority(name, made);
        Self { portal: party("portal"), sbc: party("sbc"), db: party("db"), stranger: party("stranger") }
    }
}

fn with_trust(mut data: Data, clients: &[&Party], servers: &[&Party]) -> Data {
    let side = |parties: &[&Party]| {
        parties.iter().map(|party| (party.spec.channel.clone(), party.generations.trusted())).collect()
    };
    let sources = TrustSources {
        listens: !clients.is_empty(),
        clients: side(clients),
        servers: side(servers),
        external: BTreeMap::new(),
    };
    let (files, problems) = trust_files(&sources);
    assert_eq!(problems, []);
    data.extend(files.files().iter().map(|(name, text)| (name.clone(), text.clone().into_bytes())));
    data
}

async fn everywhere(server: &Data, client: &Data, name: &str) -> Vec<bool> {
    let mut outcomes = Vec::new();
    for at_server in ENGINES {
        for at_client in ENGINES {
            outcomes.push(talk(at_server, server, at_client, client, name).await);
        }
    }
    outcomes
}

const OPEN: [bool; 4] = [true; 4];
const CLOSED: [bool; 4] = [false; 4];

#[tokio::test]
async fn declared_peers_talk_in_the_declared_direction_and_only_there() {
    let Scene { portal, sbc, db, stranger } = Scene::new();
    let now = Timestamp::now();
    let of_portal = with_trust(portal.issue(now), &[], &[&sbc]);
    let of_sbc = with_trust(sbc.issue(now), &[&portal], &[&db]);
    let of_db = with_trust(db.issue(now), &[&sbc], &[]);
    assert_eq!(everywhere(&of_sbc, &of_portal, &dns("sbc")).await, OPEN, "portal to sbc");
    assert_eq!(everywhere(&of_db, &of_sbc, &dns("db")).await, OPEN, "sbc to db");
    assert_eq!(
        everywhere(&of_sbc, &of_portal, "sbc.cc-front.svc.cluster.local").await,
        OPEN,
        "its longer name"
    );
    assert_eq!(
        everywhere(&of_sbc, &of_portal, "pod-0.sbc-hl.cc-front.svc").await,
        OPEN,
        "a pod by its own name"
    );

    assert_eq!(everywhere(&of_db, &of_portal, &dns("db")).await, CLOSED, "portal to db: never declared");
    assert_eq!(everywhere(&of_sbc, &of_db, &dns("sbc")).await, CLOSED, "db to sbc: the wrong direction");
    assert_eq!(
        everywhere(&of_portal, &of_sbc, &dns("portal")).await,
        CLOSED,
        "sbc to portal: the wrong direction"
    );
    // The same with a client that would trust anybody: the server's own refusal is what counts.
    let eager = |party: &Party, to: &Party| with_trust(party.issue(now), &[], &[to]);
    assert_eq!(everywhere(&of_sbc, &eager(&db, &sbc), &dns("sbc")).await, CLOSED, "db, eager");
    assert_eq!(everywhere(&of_sbc, &eager(&stranger, &sbc), &dns("sbc")).await, CLOSED, "a stranger, eager");
    assert_eq!(
        everywhere(&of_portal, &eager(&sbc, &portal), &dns("portal")).await,
        CLOSED,
        "nobody may enter"
    );
    // And with a server that would let anybody in: the client's own refusal is what counts.
    let open_db = with_trust(db.issue(now), &[&portal, &sbc], &[]);
    assert_eq!(everywhere(&open_db, &of_portal, &dns("db")).await, CLOSED, "portal does not trust db");
}

#[tokio::test]
async fn expired_and_foreign_named_are_refused_at_both_ends() {
    let Scene { portal, sbc, .. } = Scene::new();
    let now = Timestamp::now();
    let of_portal = with_trust(portal.issue(now), &[], &[&sbc]);
    let of_sbc = with_trust(sbc.issue(now), &[&portal], &[]);
    assert_eq!(everywhere(&of_sbc, &of_portal, &dns("sbc")).await, OPEN);

    let past = now.checked_add(days(-40)).unwrap();
    let expired = with_trust(portal.issue(past), &[], &[&sbc]);
    assert_eq!(everywhere(&of_sbc, &expired, &dns("sbc")).await, CLOSED, "expired client");
    let expired = with_trust(sbc.issue(past), &[&portal], &[]);
    assert_eq!(everywhere(&expired, &of_portal, &dns("sbc")).await, CLOSED, "expired server");

    let foreign =
        |party: &Party| LeafSpec { dns_names: ["bank.example".to_owned()].into(), ..party.spec.clone() };
    let forged = with_trust(portal.forge(&foreign(&portal), portal.validity(now)), &[], &[&sbc]);
    assert_eq!(
        everywhere(&of_sbc, &forged, &dns("sbc")).await,
        CLOSED,
        "client named outside its constraints"
    );
    let forged = with_trust(sbc.forge(&foreign(&sbc), sbc.validity(now)), &[&portal], &[]);
    assert_eq!(
        everywhere(&forged, &of_portal, "bank.example").await,
        CLOSED,
        "server named outside its constraints"
    );
    assert_eq!(
        everywhere(&of_sbc, &of_portal, &dns("portal")).await,
        CLOSED,
        "a name that is not the server's"
    );
}

#[tokio::test]
async fn p384_leaves_talk_too() {
    let Scene { mut portal, mut sbc, .. } = Scene::new();
    portal.spec.key_algorithm = KeyAlgorithm::EcdsaP384;
    sbc.spec.key_algorithm = KeyAlgorithm::EcdsaP384;
    let now = Timestamp::now();
    let of_portal = with_trust(portal.issue(now), &[], &[&sbc]);
    let of_sbc = with_trust(sbc.issue(now), &[&portal], &[]);
    assert_eq!(everywhere(&of_sbc, &of_portal, &dns("sbc")).await, OPEN);
}
