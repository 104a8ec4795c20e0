//! Fills a preset's values into a Channel's spec.

use std::{borrow::Cow, sync::Arc};

use super::{ClosedPort, PresetFacts};
use crate::{
    Channel, ChannelSpec,
    channel::{Listener, ListenerTls, Reload},
};

/// Fills in what the preset gives and the spec leaves out: listeners as a whole, type, `tls.reload`. What is written
/// stays.
///
/// A written listener that leaves out `tls` begins TLS as the preset's listener at that port does: PostgreSQL's
/// 5432 stays what it is when only its name changes.
pub fn fill_in(spec: &mut ChannelSpec) {
    let Some(preset) = spec.preset else { return };
    let facts = preset.facts();
    spec.type_ = spec.type_.or(Some(facts.type_));
    if spec.listeners.is_empty() {
        spec.listeners = facts.listeners.iter().map(super::Offer::listener).collect();
    }
    for listener in &mut spec.listeners {
        listener.tls = listener.tls.or_else(|| facts.tls_of(listener));
    }
    let reload = facts.reload_of(spec);
    let tls = spec.tls.get_or_insert_default();
    tls.reload = tls.reload.or(Some(reload));
}

/// The spec as everything behind the boundary reads it: [filled in](fill_in), and the same one where nothing is to be.
pub fn resolve(spec: &ChannelSpec) -> Cow<'_, ChannelSpec> {
    if is_filled_in(spec) {
        return Cow::Borrowed(spec);
    }
    let mut spec = spec.clone();
    fill_in(&mut spec);
    Cow::Owned(spec)
}

fn is_filled_in(spec: &ChannelSpec) -> bool {
    let Some(preset) = spec.preset else { return true };
    let says_tls = |listener: &Listener| listener.tls.is_some() || preset.facts().tls_of(listener).is_none();
    spec.type_.is_some()
        && !spec.listeners.is_empty()
        && spec.listeners.iter().all(says_tls)
        && spec.tls.as_ref().is_some_and(|tls| tls.reload.is_some())
}

/// The Channel with its spec [resolved](resolve); the same one where nothing is to be filled in.
pub fn resolved(channel: Arc<Channel>) -> Arc<Channel> {
    match resolve(&channel.spec) {
        Cow::Borrowed(_) => channel,
        Cow::Owned(spec) => {
            let metadata = channel.metadata.clone();
            Arc::new(Channel { metadata, spec, status: channel.status.clone() })
        }
    }
}

/// The listener's plaintext port, where it has one of its preset's and no way from there to TLS.
pub fn plaintext(spec: &ChannelSpec, listener: &Listener) -> Option<&'static ClosedPort> {
    let range = listener.range()?;
    let closed = spec.preset?.facts().closed.iter();
    closed
        .filter(|closed| closed.ports.intersect(range).is_some())
        .find(|closed| closed.unless != Some(listener.tls()))
}

impl PresetFacts {
    /// How TLS begins at the preset's listener on the ports of this one.
    fn tls_of(&self, listener: &Listener) -> Option<ListenerTls> {
        self.listeners.iter().find(|known| Some(known.ports) == listener.range()).map(|known| known.tls)
    }

    /// How the workload takes a renewed certificate, unless said otherwise. What is not named cannot be
    /// restarted: without `workload.ref` somebody does it.
    fn reload_of(&self, spec: &ChannelSpec) -> Reload {
        match self.reload {
            Reload::Restart if spec.workload.ref_.is_none() => Reload::None,
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{channel::ChannelType, preset::Preset};

    fn spec(more: Value) -> ChannelSpec {
        let mut spec = json!({"workload": {"selector": {"matchLabels": {"app": "x"}}}});
        for (key, value) in more.as_object().unwrap() {
            spec[key] = value.clone();
        }
        serde_json::from_value(spec).unwrap()
    }

    fn ports(spec: &ChannelSpec) -> Vec<String> {
        spec.listeners.iter().map(|one| format!("{} {}", one.name, one.range().unwrap())).collect()
    }

    #[test]
    fn without_a_preset_nothing_is_touched() {
        let plain = spec(json!({"listeners": [{"name": "a", "port": 5432}]}));
        assert!(matches!(resolve(&plain), Cow::Borrowed(_)));
        let channel = Arc::new(Channel::new("x", plain));
        assert!(Arc::ptr_eq(&channel, &resolved(Arc::clone(&channel))));
    }

    #[test]
    fn a_preset_fills_in_what_is_not_written() {
        let asterisk = spec(json!({"preset": "Asterisk"}));
        let asterisk = resolve(&asterisk);
        assert_eq!(ports(&asterisk), ["sips 5061/TCP", "rtp 10000-20000/UDP"]);
        assert_eq!(asterisk.type_, Some(ChannelType::Voice));
    }

    #[test]
    fn what_is_written_replaces_what_the_preset_gives() {
        let written = spec(json!({
            "preset": "Nginx", "type": "Chat", "tls": {"reload": "None", "duration": "20d"},
            "listeners": [{"name": "https", "port": 8443}],
        }));
        let resolved = resolve(&written);
        assert_eq!(ports(&resolved), ["https 8443/TCP"]);
        assert_eq!(resolved.type_, Some(ChannelType::Chat));
        let tls = resolved.tls.clone().unwrap();
        assert_eq!((tls.reload, tls.duration.as_deref()), (Some(Reload::None), Some("20d")));
    }

    #[test]
    fn a_renamed_listener_begins_tls_as_its_port_does() {
        let written = spec(json!({"preset": "PostgreSQL", "listeners": [
            {"name": "pg", "port": 5432}, {"name": "other", "port": 5433}, {"name": "direct", "port": 5434, "tls": "PostgreSQL"},
        ]}));
        let tls: Vec<_> = resolve(&written).listeners.iter().map(Listener::tls).collect();
        assert_eq!(tls, [ListenerTls::PostgreSQL, ListenerTls::Direct, ListenerTls::PostgreSQL]);
    }

    #[test]
    fn only_what_is_named_is_restarted() {
        let reload = |more: Value| resolve(&spec(more)).tls.clone().unwrap().reload;
        assert_eq!(reload(json!({"preset": "Mosquitto"})), Some(Reload::None));
        let workload =
            json!({"selector": {"matchLabels": {"app": "x"}}, "ref": {"kind": "Deployment", "name": "x"}});
        assert_eq!(reload(json!({"preset": "Mosquitto", "workload": workload})), Some(Reload::Restart));
        assert_eq!(reload(json!({"preset": "Envoy"})), Some(Reload::Workload));
    }

    #[test]
    fn resolving_twice_is_resolving_once_and_no_preset_opens_plain_text() {
        for preset in Preset::ALL {
            let written = spec(json!({"preset": preset.as_str()}));
            let once = resolve(&written).into_owned();
            assert!(matches!(resolve(&once), Cow::Borrowed(_)), "{preset}: nothing is copied a second time");
            let mut twice = once.clone();
            fill_in(&mut twice);
            assert_eq!(twice, once, "{preset}");
            for listener in &once.listeners {
                assert!(plaintext(&once, listener).is_none(), "{preset}: {}", listener.name);
            }
        }
    }

    #[test]
    fn a_plaintext_port_is_seen_also_inside_a_range_and_opens_only_by_its_own_way_to_tls() {
        let found = |preset: &str, listener: Value| {
            let spec = spec(json!({"preset": preset, "listeners": [listener]}));
            let spec = resolve(&spec);
            plaintext(&spec, &spec.listeners[0]).map(|closed| closed.ports.to_string())
        };
        let sip = Some("5060/UDP".to_owned());
        assert_eq!(found("Kamailio", json!({"name": "sip", "port": 5060, "protocol": "UDP"})), sip);
        assert_eq!(
            found("Kamailio", json!({"name": "sip", "port": 5000, "endPort": 5100, "protocol": "UDP"})),
            sip
        );
        assert_eq!(found("Kamailio", json!({"name": "sips", "port": 5061})), None);
        for tls in [json!(null), json!("Direct"), json!("None"), json!("IMAP")] {
            let mut smtp = json!({"name": "smtp", "port": 25});
            if !tls.is_null() {
                smtp["tls"] = tls;
            }
            assert_eq!(found("Postfix", smtp), Some("25/TCP".to_owned()));
        }
        assert_eq!(found("Postfix", json!({"name": "smtp", "port": 25, "tls": "SMTP"})), None);
        assert_eq!(
            found("PostgreSQL", json!({"name": "pg", "port": 5432, "tls": "None"})),
            Some("5432/TCP".to_owned())
        );
        assert_eq!(
            found("PostgreSQL", json!({"name": "pg", "port": 5432})),
            None,
            "its own way is filled in"
        );
    }
}
