//! The facts of a server.

use crate::{
    channel::{ChannelType, Listener, ListenerTls, Reload},
    common::{PortRange, Protocol},
    sealing::Finished,
};

/// What is known of one server.
#[derive(Debug)]
pub struct PresetFacts {
    /// What kind of traffic it carries.
    pub type_: ChannelType,
    /// Where it listens, with TLS or for media that is encrypted by itself.
    pub listeners: &'static [Offer],
    /// Ports on which it speaks plain text; they are not opened.
    pub closed: &'static [ClosedPort],
    /// Which file of the Secret goes to which of its settings.
    pub settings: &'static [Setting],
    /// How it takes a renewed certificate.
    pub reload: Reload,
    /// What makes it do so, as a sentence.
    pub reload_by: &'static str,
    /// The command that does so, run when the mounted files change; none where nothing has to be run.
    pub command: Option<&'static str>,
    /// How a recording that it writes is known to be finished, and why, as a sentence; none where it writes none.
    pub recordings: Option<(Finished, &'static str)>,
    /// What else has to be known before it is used.
    pub notes: &'static [&'static str],
    /// Where the server's own documentation says so: title and address, or the manual page.
    pub sources: &'static [&'static str],
}

/// A listener that a preset gives.
#[derive(Debug)]
pub struct Offer {
    /// How peers name it.
    pub name: &'static str,
    /// Its ports.
    pub ports: PortRange,
    /// How TLS begins there.
    pub tls: ListenerTls,
    /// What it carries.
    pub what: &'static str,
}

/// A port that speaks plain text.
#[derive(Debug)]
pub struct ClosedPort {
    /// The port.
    pub ports: PortRange,
    /// The way from plain text to TLS with which the port may be a listener all the same.
    pub unless: Option<ListenerTls>,
    /// What speaks there.
    pub what: &'static str,
}

/// A setting of the server that names a file of the Secret.
#[derive(Debug)]
pub struct Setting {
    /// The file of the Secret.
    pub file: &'static str,
    /// The server's setting.
    pub setting: &'static str,
}

impl Offer {
    /// As a manifest has it, with everything said.
    pub fn listener(&self) -> Listener {
        let PortRange { protocol, start, end } = self.ports;
        Listener {
            name: self.name.to_owned(),
            port: i32::from(start),
            end_port: (end != start).then_some(i32::from(end)),
            protocol: Some(protocol),
            tls: Some(self.tls),
        }
    }
}

pub(super) const fn tcp(port: u16) -> PortRange {
    PortRange { protocol: Protocol::Tcp, start: port, end: port }
}

pub(super) const fn udp(start: u16, end: u16) -> PortRange {
    PortRange { protocol: Protocol::Udp, start, end }
}

/// A listener that speaks TLS from the first byte.
pub(super) const fn direct(name: &'static str, port: u16, what: &'static str) -> Offer {
    Offer { name, ports: tcp(port), tls: ListenerTls::Direct, what }
}

/// Ports for media.
pub(super) const fn media(name: &'static str, ports: PortRange, what: &'static str) -> Offer {
    Offer { name, ports, tls: ListenerTls::None, what }
}

/// A TCP port that has no way to TLS.
pub(super) const fn plain(port: u16, what: &'static str) -> ClosedPort {
    ClosedPort { ports: tcp(port), unless: None, what }
}

/// The file of the Secret that goes to a setting.
pub(super) const fn file(file: &'static str, setting: &'static str) -> Setting {
    Setting { file, setting }
}
