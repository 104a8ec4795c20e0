//! The trust files of a Channel by direction: exactly the authorities of its declared peers.
//!
//! No file mixes peers that connect here with peers that this Channel connects to, or Channels with external parties.

use std::collections::{BTreeMap, BTreeSet};

use subrosa_crds::names::is_dns_label;
use thiserror::Error;

use super::trust_room::{FOR_THE_LEAF, SECRET_LIMIT};
use crate::record::generations::Generations;
use crate::world::pem;

/// The authorities of the peers that may connect here.
pub const CLIENTS_FILE: &str = "clients-ca.crt";
/// The authorities of the peers that this Channel connects to.
pub const SERVERS_FILE: &str = "servers-ca.crt";
/// The file for software that reads a single bundle.
pub const DEFAULT_FILE: &str = "ca.crt";

/// A CA certificate that expired on 2 January 2000 and whose private key was destroyed when it was made.
///
/// Servers refuse to start with an empty CA file, and some treat "no CA" as "any CA". A file without authorities has
/// this certificate instead, which loads everywhere and vouches for nobody.
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

/// The limit for all trust files together: what a Secret holds, without certificate and key.
const MOST_BYTES: usize = SECRET_LIMIT - FOR_THE_LEAF;

/// The authorities that a Channel trusts, as agreed by both sides.
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

/// A source that was left out; the others are not affected.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{source_name} is not trusted in {file}: {problem}; {}", .problem.next_step())]
pub struct TrustProblem {
    /// The file that lacks it.
    pub file: String,
    /// The peer or party.
    pub source_name: String,
    /// What is wrong with its certificates.
    pub problem: WhyLeftOut,
}

/// Why a source is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WhyLeftOut {
    /// It is not a bundle of certificates.
    #[error("{0}")]
    Unreadable(&'static str),
    /// There is no room for it beside the others.
    #[error("it does not fit into the Secret beside the others")]
    TooLarge,
}

impl WhyLeftOut {
    fn next_step(self) -> &'static str {
        match self {
            Self::Unreadable(_) => "write a PEM bundle of CERTIFICATE blocks",
            Self::TooLarge => "divide the workload among several Channels",
        }
    }
}

impl TrustFiles {
    /// Key of the Secret's data to PEM.
    #[must_use]
    pub fn files(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    /// How many bytes they have together.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.values().map(String::len).sum()
    }

    /// The files that differ from the found ones: missing, changed, or surplus.
    #[must_use]
    pub fn differing(&self, found: &BTreeMap<String, String>) -> BTreeSet<String> {
        let wrong =
            self.0.iter().filter(|(name, text)| found.get(*name) != Some(*text)).map(|(name, _)| name);
        let extra = found.keys().filter(|name| !self.0.contains_key(*name));
        wrong.chain(extra).cloned().collect()
    }
}

/// The generations of an authority whose certificate is in every one of the given files of a peer's Secret: in
/// `clients-ca.crt` if the authority's Channel connects to the peer, in `servers-ca.crt` if the peer connects to it,
/// in both if both do.
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

/// Builds the trust files. A source that cannot be parsed or does not fit is left out and reported, which only
/// reduces trust, and the rest goes on.
#[must_use]
pub fn trust_files(sources: &TrustSources) -> (TrustFiles, Vec<TrustProblem>) {
    let (mut files, mut problems) = all_files(sources);
    if files.bytes() <= MOST_BYTES {
        return (files, problems);
    }
    // Bundles that are too large were refused before; this is a slow fallback for unforeseen cases.
    let mut fewer = sources.clone();
    while files.bytes() > MOST_BYTES
        && let Some((file, source_name)) = fewer.leave_one_out()
    {
        problems.push(TrustProblem { file, source_name, problem: WhyLeftOut::TooLarge });
        files = all_files(&fewer).0;
    }
    (files, problems)
}

impl TrustSources {
    /// Removes the last source: first of the external parties, then of the larger direction.
    fn leave_one_out(&mut self) -> Option<(String, String)> {
        if let Some((party, _)) = self.external.pop_last() {
            return Some((external_file(&party), party));
        }
        let size =
            |side: &BTreeMap<String, Vec<String>>| side.values().flatten().map(String::len).sum::<usize>();
        let (file, side) = if size(&self.clients) >= size(&self.servers) {
            (CLIENTS_FILE, &mut self.clients)
        } else {
            (SERVERS_FILE, &mut self.servers)
        };
        Some((file.to_owned(), side.pop_last()?.0))
    }
}

fn all_files(sources: &TrustSources) -> (TrustFiles, Vec<TrustProblem>) {
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
            let problem = WhyLeftOut::Unreadable("its name is not a DNS label");
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
                    problem: WhyLeftOut::Unreadable(problem),
                });
            }
        }
    }
    if text.is_empty() { NOBODY.to_owned() } else { text }
}

#[cfg(test)]
mod tests;
