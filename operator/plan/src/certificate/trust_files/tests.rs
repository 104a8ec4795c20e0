use super::*;
use crate::record::generations::tests::generation;

fn cert(n: u8) -> String {
    pem::encode(&[0x30, 1, n])
}

fn peers(of: &[(&str, &[u8])]) -> BTreeMap<String, Vec<String>> {
    of.iter().map(|(name, certs)| ((*name).to_owned(), certs.iter().map(|n| cert(*n)).collect())).collect()
}

fn built(sources: &TrustSources) -> BTreeMap<String, String> {
    let (files, problems) = trust_files(sources);
    assert_eq!(problems, []);
    files.0
}

#[test]
fn directions_and_outside_stay_apart() {
    let sources = TrustSources {
        listens: true,
        clients: peers(&[("a/ivr", &[1, 2]), ("b/portal", &[3])]),
        servers: peers(&[("c/db", &[4])]),
        external: [("carrier".to_owned(), cert(5))].into(),
    };
    let files = built(&sources);
    assert_eq!(files.len(), 4);
    assert_eq!(files[CLIENTS_FILE], cert(1) + &cert(2) + &cert(3));
    assert_eq!(files[SERVERS_FILE], cert(4));
    assert_eq!(files["external-carrier-ca.crt"], cert(5));
    assert_eq!(files[DEFAULT_FILE], files[CLIENTS_FILE]);
    let silent = built(&TrustSources { listens: false, ..sources });
    assert_eq!(silent[DEFAULT_FILE], silent[SERVERS_FILE]);
}

#[test]
fn an_empty_side_trusts_nobody() {
    let files =
        built(&TrustSources { external: [("sms".to_owned(), String::new())].into(), ..Default::default() });
    assert_eq!(files.len(), 4);
    assert!(files.values().all(|text| text == NOBODY), "never empty");
    let ders = pem::certificates(NOBODY).unwrap();
    assert_eq!(ders.len(), 1);
    assert_eq!(pem::encode(&ders[0]), NOBODY, "committed as normalised");
}

#[test]
fn duplicates_and_layout_do_not_matter() {
    let tidy = TrustSources { clients: peers(&[("a/x", &[1]), ("b/y", &[2])]), ..Default::default() };
    let untidy = TrustSources {
        clients: [
            ("a/x".to_owned(), vec![format!("# x\r\n{}", cert(1).replace('\n', "\r\n"))]),
            ("b/y".to_owned(), vec![cert(1) + &cert(2), cert(2)]),
        ]
        .into(),
        ..Default::default()
    };
    assert_eq!(built(&tidy), built(&untidy));
}

#[test]
fn a_broken_source_is_left_out_alone() {
    let mut clients = peers(&[("a/x", &[1])]);
    clients.insert("b/broken".into(), vec![cert(2), "-----BEGIN PRIVATE KEY-----\n".into()]);
    let external = [("carrier".to_owned(), "-----BEGIN CERTIFICATE-----".to_owned())].into();
    let (files, problems) = trust_files(&TrustSources { clients, external, ..Default::default() });
    assert_eq!(files.files()[CLIENTS_FILE], cert(1));
    assert_eq!(files.files()["external-carrier-ca.crt"], NOBODY);
    let named: Vec<_> = problems.iter().map(|p| p.source_name.as_str()).collect();
    assert_eq!(named, ["b/broken", "carrier"]);
    assert!(!problems[0].to_string().contains("BEGIN"), "content is not quoted");
}

#[test]
fn holding_asks_for_every_direction() {
    let generations = (1..=3_u8)
        .map(|n| crate::record::generations::Generation {
            certificate_pem: cert(n),
            ..generation(n.into(), crate::record::generations::GenerationState::Signing)
        })
        .collect();
    let found = [
        (CLIENTS_FILE.to_owned(), cert(2) + &cert(1)),
        (SERVERS_FILE.to_owned(), cert(2) + &cert(9)),
        (DEFAULT_FILE.to_owned(), "broken -----BEGIN CERTIFICATE-----".to_owned()),
    ]
    .into();
    let held = |files: &[&str]| held_versions(&found, files, &generations).into_iter().collect::<Vec<_>>();
    assert_eq!(held(&[CLIENTS_FILE]), [1, 2]);
    assert_eq!(held(&[CLIENTS_FILE, SERVERS_FILE]), [2]);
    assert!(held(&[DEFAULT_FILE]).is_empty() && held(&["absent"]).is_empty() && held(&[]).is_empty());
}

#[test]
fn differing_sees_missing_changed_and_extra() {
    let (files, _) = trust_files(&TrustSources::default());
    let mut found = files.files().clone();
    assert!(files.differing(&found).is_empty());
    found.remove(DEFAULT_FILE);
    found.insert(CLIENTS_FILE.into(), cert(9));
    found.insert(external_file("gone"), cert(9));
    let names = files.differing(&found);
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["ca.crt", "clients-ca.crt", "external-gone-ca.crt"]);
}
