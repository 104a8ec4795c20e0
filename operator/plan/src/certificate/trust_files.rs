//! The trust files of a channel, by direction: exactly the authorities of its declared peers.
//!
//! No file mixes who may connect here with whom this channel connects to, or inside with outside.

use std::collections::{BTreeMap, BTreeSet};

use subrosa_crds::names::is_dns_label;
use thiserror::Error;

use crate::record::generations::Generations;
use crate::world::pem;

/// Who may connect here.
pub const CLIENTS_FILE: &str = "clients-ca.crt";
/// Whom this channel connects to.
pub const SERVERS_FILE: &str = "servers-ca.crt";
/// The file that software expecting one single bundle reads.
pub const DEFAULT_FILE: &str = "ca.crt";

/// A CA certificate that expired on 2 January 2000 and whose private key was destroyed when it was made.
///
/// Servers refuse to start with an empty CA file, and some read "no CA" as "any CA". A side with nobody in it
/// holds this certificate instead: it loads everywhere and vouches for nobody.
pub const NOBODY: &str = include_str!("nobody.pem");

/// The name of the file with an external party's authorities.
#[must_use]
pub fn external_file(party: &str) -> String {
    format!("external-{party}-ca.crt")
}

/// Whether a key of the Secret's data is one of the files this module writes.
#[must_use]
pub fn is_trust_file(key: &str) -> bool {
    key == DEFAULT_FILE || key.ends_with("-ca.crt")
}

/// Whom a channel trusts, as agreed by both sides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustSources {
    /// Whether the channel listens; decides what `ca.crt` is.
    pub listens: bool,
    /// Certificates of the peers that may connect here, by peer.
    pub clients: BTreeMap<String, Vec<String>>,
    /// Certificates of the peers this channel connects to, by peer.
    pub servers: BTreeMap<String, Vec<String>>,
    /// Bundles of external parties, by party; only those that bring one.
    pub external: BTreeMap<String, String>,
}

/// The trust files, complete: key of the Secret's data to PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustFiles(BTreeMap<String, String>);

/// A source that had to be left out; the others are not held up by it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{source_name} is not trusted in {file}: {problem}; write a PEM bundle of CERTIFICATE blocks")]
pub struct TrustProblem {
    /// The file that goes without it.
    pub file: String,
    /// The peer or party.
    pub source_name: String,
    /// What is wrong with its certificates.
    pub problem: &'static str,
}

impl TrustFiles {
    /// Key of the Secret's data to PEM.
    #[must_use]
    pub fn files(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    /// The files that differ from those found: missing, changed, or found and not wanted.
    #[must_use]
    pub fn differing(&self, found: &BTreeMap<String, String>) -> BTreeSet<String> {
        let wrong =
            self.0.iter().filter(|(name, text)| found.get(*name) != Some(*text)).map(|(name, _)| name);
        let extra = found.keys().filter(|name| !self.0.contains_key(*name));
        wrong.chain(extra).cloned().collect()
    }
}

/// The generations of an authority whose certificate stands in every one of the named files, as found in a
/// peer's Secret: in `clients-ca.crt` of those it connects to, in `servers-ca.crt` of those that connect to
/// it, in both where both hold.
#[must_use]
pub fn held_versions(
    found: &BTreeMap<String, String>,
    files: &[&str],
    authority: &Generations,
) -> BTreeSet<u32> {
    let in_files: Vec<Vec<Vec<u8>>> = files
        .iter()
        .map(|file| found.get(*file).and_then(|text| pem::certificates(text).ok()).unwrap_or_default())
        .collect();
    let held = |certificate: &str| match pem::certificates(certificate).as_deref() {
        Ok([der]) => in_files.iter().all(|ders| ders.contains(der)),
        _ => false,
    };
    authority
        .iter()
        .filter(|generation| !files.is_empty() && held(&generation.certificate_pem))
        .map(|generation| generation.version)
        .collect()
}

/// Builds the trust files. A source whose certificates cannot be read is left out and reported: less is
/// trusted then, never more, and the rest goes on.
#[must_use]
pub fn trust_files(sources: &TrustSources) -> (TrustFiles, Vec<TrustProblem>) {
    let mut problems = Vec::new();
    let clients = side(CLIENTS_FILE, &sources.clients, &mut problems);
    let servers = side(SERVERS_FILE, &sources.servers, &mut problems);
    let default = if sources.listens { clients.clone() } else { servers.clone() };
    let mut files: BTreeMap<String, String> = [
        (CLIENTS_FILE.to_owned(), clients),
        (SERVERS_FILE.to_owned(), servers),
        (DEFAULT_FILE.to_owned(), default),
    ]
    .into();
    for (party, bundle) in &sources.external {
        let file = external_file(party);
        if is_dns_label(party) {
            let one = [(party.clone(), vec![bundle.clone()])].into();
            let text = side(&file, &one, &mut problems);
            files.insert(file, text);
        } else {
            let problem = "its name is not a DNS label";
            problems.push(TrustProblem { file, source_name: party.clone(), problem });
        }
    }
    (TrustFiles(files), problems)
}

/// One file: every certificate once, in the order of the sources, normalised; [`NOBODY`] when there is none.
fn side(file: &str, sources: &BTreeMap<String, Vec<String>>, problems: &mut Vec<TrustProblem>) -> String {
    let mut seen = BTreeSet::new();
    let mut text = String::new();
    for (source_name, bundles) in sources {
        match bundles.iter().map(|bundle| pem::certificates(bundle)).collect::<Result<Vec<_>, _>>() {
            Ok(ders) => {
                for der in ders.into_iter().flatten() {
                    let encoded = pem::encode(&der);
                    if seen.insert(der) {
                        text.push_str(&encoded);
                    }
                }
            }
            Err(problem) => {
                problems.push(TrustProblem {
                    file: file.to_owned(),
                    source_name: source_name.clone(),
                    problem,
                });
            }
        }
    }
    if text.is_empty() { NOBODY.to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::generations::tests::generation;

    fn cert(n: u8) -> String {
        pem::encode(&[0x30, 1, n])
    }

    fn peers(of: &[(&str, &[u8])]) -> BTreeMap<String, Vec<String>> {
        of.iter()
            .map(|(name, certs)| ((*name).to_owned(), certs.iter().map(|n| cert(*n)).collect()))
            .collect()
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
        let files = built(&TrustSources {
            external: [("sms".to_owned(), String::new())].into(),
            ..Default::default()
        });
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
        let held =
            |files: &[&str]| held_versions(&found, files, &generations).into_iter().collect::<Vec<_>>();
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
        assert_eq!(
            names.into_iter().collect::<Vec<_>>(),
            ["ca.crt", "clients-ca.crt", "external-gone-ca.crt"]
        );
    }
}
