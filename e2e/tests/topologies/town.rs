//! What people declared, in the plainest words: the oracle reads these, the plan reads their manifests.

use std::{collections::BTreeMap, net::IpAddr};

/// One random place: namespaces, what is declared in them, and who is there.
#[derive(Clone, Debug, Default)]
pub struct Town {
    pub domains: Vec<Domain>,
    pub namespaces: Vec<Namespace>,
    pub channels: Vec<Channel>,
    pub parties: Vec<Party>,
    pub pods: Vec<Pod>,
    pub outsiders: Vec<IpAddr>,
}

#[derive(Clone, Debug)]
pub struct Domain {
    pub name: String,
    pub hipaa: bool,
    pub services: Vec<Service>,
    /// Empty: that which a cluster usually has.
    pub dns: Vec<Dns>,
}

#[derive(Clone, Debug)]
pub struct Namespace {
    pub name: String,
    pub domain: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Channel {
    pub namespace: String,
    pub name: String,
    /// The `app` labels of its pods; `in_words` writes them as an expression.
    pub apps: Vec<String>,
    pub in_words: bool,
    pub listeners: Vec<Listener>,
    pub accepts: Vec<Entry>,
    pub connects_to: Vec<Entry>,
    pub seals: bool,
    /// It seals a class that no policy knows.
    pub stalled: bool,
}

#[derive(Clone, Debug)]
pub struct Listener {
    pub name: String,
    pub ports: Ports,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ports {
    pub udp: bool,
    pub first: u16,
    pub last: u16,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Channel,
    Party,
    Service,
}

#[derive(Clone, Debug)]
pub struct Entry {
    pub name: String,
    pub kind: Kind,
    pub namespace: Option<String>,
    pub channel: Option<String>,
    pub listeners: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct Party {
    pub name: String,
    pub ranges: Vec<String>,
    pub processor: bool,
    /// Types and how many days from today they are still valid; below zero is past.
    pub agreements: Vec<(String, i64)>,
    pub consents: Vec<Consent>,
}

#[derive(Clone, Debug)]
pub struct Consent {
    pub namespace: String,
    pub channel: String,
    pub ingress: bool,
    pub ports: Vec<Ports>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Audience {
    All,
    Sealing,
    Named,
}

#[derive(Clone, Debug)]
pub struct Service {
    pub name: String,
    pub at: Place,
    pub ingress: bool,
    pub ports: Vec<Ports>,
    pub audience: Audience,
}

#[derive(Clone, Debug)]
pub enum Place {
    /// Pods of a namespace, those of one `app` or all.
    Pods(String, Option<String>),
    Ranges(Vec<String>),
}

#[derive(Clone, Debug)]
pub struct Dns {
    pub at: Place,
    pub ports: Vec<u16>,
}

#[derive(Clone, Debug)]
pub struct Pod {
    pub namespace: String,
    pub labels: BTreeMap<String, String>,
    pub address: IpAddr,
}

/// One end of a question.
#[derive(Clone, Copy, Debug)]
pub enum End<'a> {
    Pod(&'a Pod),
    Outside(IpAddr),
}

impl End<'_> {
    pub fn address(self) -> IpAddr {
        match self {
            Self::Pod(pod) => pod.address,
            Self::Outside(address) => address,
        }
    }
}

/// May `from` open a connection to this port of `to`?
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    pub from: End<'a>,
    pub to: End<'a>,
    pub port: u16,
    pub udp: bool,
}

impl Town {
    pub fn namespace(&self, name: &str) -> Option<&Namespace> {
        self.namespaces.iter().find(|namespace| namespace.name == name)
    }

    pub fn domain_of(&self, namespace: &str) -> Option<&Domain> {
        let label = self.namespace(namespace)?.domain.as_ref()?;
        self.domains.iter().find(|domain| &domain.name == label)
    }
}
