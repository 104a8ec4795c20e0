//! Two channels through two CA generations on a simulated clock, with real certificates: every pair of files
//! that the two can have loaded at a moment is put before rustls, and each once before OpenSSL.

use std::collections::BTreeSet;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use subrosa_plan::certificate::authority::{AuthorityKeyState, Leaves, PeerFacts, step};
use subrosa_plan::certificate::trust_files::{CLIENTS_FILE, SERVERS_FILE, held_versions};
use subrosa_plan::certificate::{
    AuthorityAction, AuthorityFacts, ObservedSecret, TrustSources, Wanted, drift_of, trust_files,
};

use super::building::openssl_verify;
use super::peers::roots;
use super::*;

struct Side {
    party: Party,
    listens: bool,
    secret: Option<Data>,
    /// Every Secret written, from when, and until when its leaf lives.
    written: Vec<(Data, Timestamp, Timestamp)>,
    switches: u32,
}

impl Side {
    fn new(name: &str, listens: bool) -> Self {
        Self { party: Party::new(name), listens, secret: None, written: Vec::new(), switches: 0 }
    }

    fn observed(&self) -> ObservedSecret {
        observe(self.secret.as_ref().map(entries), &self.party.certificates())
    }

    /// What the other side's authority asks about this one.
    fn as_peer_of(&self, other: &Self) -> PeerFacts {
        let file = if self.listens { CLIENTS_FILE } else { SERVERS_FILE };
        let holds = match self.observed() {
            ObservedSecret::Present(facts) => held_versions(&facts.trust, &[file], &other.party.generations),
            ObservedSecret::Missing => BTreeSet::new(),
        };
        PeerFacts { holds, leaves: Leaves::of(self.party.generations.leaves_until()) }
    }

    fn reconcile(&mut self, peer: PeerFacts, peer_trusted: Vec<String>, now: Timestamp) {
        loop {
            let facts = AuthorityFacts {
                key: AuthorityKeyState::Present { latest: self.party.transit.latest() },
                unusable: BTreeSet::new(),
                without_key: BTreeSet::new(),
                peers: [("peer".to_owned(), peer.clone())].into(),
                needed: BTreeSet::new(),
            };
            let generations = self.party.generations.clone();
            match step(&generations, &self.party.authority, &facts, now) {
                AuthorityAction::RotateKey => self.party.transit.rotate(),
                AuthorityAction::SignCertificate { version } => self.party.sign_generation(version, now),
                AuthorityAction::NotePeers { version, loaded_by } => {
                    self.party.generations = generations.with_peers(version, loaded_by);
                }
                AuthorityAction::SwitchSigning { version, .. } => {
                    self.switches += 1;
                    self.party.generations = generations.with_signing(version);
                }
                AuthorityAction::Retire { version } => self.party.generations = generations.without(version),
                AuthorityAction::Nothing { .. } => break,
                other => panic!("{other:?}"),
            }
        }
        let entry = [("peer".to_owned(), peer_trusted)].into();
        let sources = if self.listens {
            TrustSources { listens: true, clients: entry, ..TrustSources::default() }
        } else {
            TrustSources { servers: entry, ..TrustSources::default() }
        };
        let (trust, _) = trust_files(&sources);
        let wanted = Wanted { spec: &self.party.spec, generations: &self.party.generations, trust: &trust };
        let found = self.observed();
        let Some(reason) = drift_of(&found, wanted, now) else { return };
        let (mut data, until) = if reason.needs_new_leaf() {
            let until = self.party.validity(now).not_after;
            let signing = self.party.generations.signing().unwrap().version;
            self.party.generations = self.party.generations.clone().with_leaf(signing, until);
            (self.party.issue(now), until)
        } else {
            (self.secret.clone().unwrap(), found.leaf().unwrap().validity.not_after)
        };
        data.retain(|file, _| file.starts_with("tls."));
        data.extend(trust.files().iter().map(|(name, text)| (name.clone(), text.clone().into_bytes())));
        self.secret = Some(data.clone());
        assert_eq!(
            drift_of(
                &self.observed(),
                Wanted { generations: &self.party.generations, ..wanted_by(&self.party, &trust) },
                now
            ),
            None,
            "healed"
        );
        self.written.push((data, now, until));
    }

    fn possibly_loaded(&self, now: Timestamp) -> impl Iterator<Item = &Data> {
        self.written
            .iter()
            .filter(move |(_, from, until)| *from <= now && now <= *until)
            .map(|(data, ..)| data)
    }
}

fn wanted_by<'a>(party: &'a Party, trust: &'a subrosa_plan::certificate::TrustFiles) -> Wanted<'a> {
    Wanted { spec: &party.spec, generations: &party.generations, trust }
}

fn rustls_accepts(server: &Data, client: &Data, now: Timestamp) -> Result<(), String> {
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(now.as_second().unsigned_abs()));
    let chain = |data: &Data| -> Vec<CertificateDer<'static>> {
        ders(data, "tls.crt").into_iter().map(CertificateDer::from).collect()
    };
    let (of_server, of_client) = (chain(server), chain(client));
    WebPkiClientVerifier::builder_with_provider(roots(&server[CLIENTS_FILE]), provider.clone())
        .build()
        .unwrap()
        .verify_client_cert(&of_client[0], &of_client[1..], at)
        .map_err(|error| format!("server refuses client: {error}"))?;
    let name = ServerName::try_from(dns("sbc")).unwrap();
    WebPkiServerVerifier::builder_with_provider(roots(&client[SERVERS_FILE]), provider)
        .build()
        .unwrap()
        .verify_server_cert(&of_server[0], &of_server[1..], &name, &[], at)
        .map(|_| ())
        .map_err(|error| format!("client refuses server: {error}"))
}

fn openssl_accepts(server: &Data, client: &Data, now: Timestamp) -> Result<(), String> {
    let bundle = |data: &Data, file: &str| String::from_utf8(data[file].clone()).unwrap();
    openssl_verify(&bundle(server, CLIENTS_FILE), &client["tls.crt"], now, "sslclient")?;
    openssl_verify(&bundle(client, SERVERS_FILE), &server["tls.crt"], now, "sslserver")
}

fn reconcile_both(server: &mut Side, client: &mut Side, now: Timestamp, who: u8) {
    if who != 1 {
        server.reconcile(client.as_peer_of(server), client.party.generations.trusted(), now);
    }
    if who != 0 {
        client.reconcile(server.as_peer_of(client), server.party.generations.trusted(), now);
    }
}

#[test]
fn both_sides_accept_each_other_through_two_generations() {
    let mut now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let mut server = Side::new("sbc", true);
    let mut client = Side::new("portal", false);
    // Different lives, so that the two sides renew and rotate out of step.
    client.party.spec.duration = days(12);
    client.party.spec.renew_before = days(4);
    for _ in 0..3 {
        reconcile_both(&mut server, &mut client, now, 2);
    }
    // What was written before they knew each other is not part of the promise.
    server.written.drain(..server.written.len() - 1);
    client.written.drain(..client.written.len() - 1);

    let mut before_openssl = BTreeSet::new();
    let mut generations_met = BTreeSet::new();
    for tick in 0_u32..1400 {
        now = now.checked_add(SignedDuration::from_hours(7 + i64::from(tick % 5) * 2)).unwrap();
        match tick % 97 {
            13 => server.secret = None,
            29 => drop(client.secret.as_mut().unwrap().insert("servers-ca.crt".into(), b"tampered".to_vec())),
            53 => server.secret.as_mut().unwrap().get_mut("tls.crt").unwrap().truncate(700),
            71 => drop(
                client
                    .secret
                    .as_mut()
                    .unwrap()
                    .insert("tls.key".into(), server.party.issue(now)["tls.key"].clone()),
            ),
            _ => {}
        }
        // Each side sleeps through some of it, the client longer.
        reconcile_both(&mut server, &mut client, now, if tick % 3 == 0 { 2 } else { 0 });
        for of_server in server.possibly_loaded(now) {
            for of_client in client.possibly_loaded(now) {
                rustls_accepts(of_server, of_client, now).unwrap_or_else(|error| panic!("{now}: {error}"));
                if before_openssl.insert((of_server["tls.crt"].clone(), of_client["tls.crt"].clone())) {
                    openssl_accepts(of_server, of_client, now)
                        .unwrap_or_else(|error| panic!("{now}: {error}"));
                }
                generations_met
                    .insert((ders(of_server, "tls.crt")[1].clone(), ders(of_client, "tls.crt")[1].clone()));
            }
        }
    }
    assert!(server.switches >= 2 && client.switches >= 2, "{} and {}", server.switches, client.switches);
    assert!(generations_met.len() >= 5, "old with new on both sides: {}", generations_met.len());
    assert!(before_openssl.len() > 50, "{}", before_openssl.len());
}
