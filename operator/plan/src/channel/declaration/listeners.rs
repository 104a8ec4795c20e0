//! What is wrong with a Channel's listeners once its preset is filled in.

use jiff::civil::Date;
use subrosa_crds::{
    Channel,
    preset::{self, PLAINTEXT_CONTROL},
};

use crate::channel::declaration::Problem;

/// Every problem of the listeners and of those who name them.
pub fn check(channel: &Channel, today: Date) -> impl Iterator<Item = Problem> {
    unknown(channel).into_iter().chain(plaintext(channel, today))
}

/// An entry of accepts that names a listener of nobody. Where a preset gives the listeners, the API server does
/// not see them.
fn unknown(channel: &Channel) -> Option<Problem> {
    let has = |name: &String| channel.spec.listeners.iter().any(|listener| &listener.name == name);
    let (entry, name) = channel
        .spec
        .accepts
        .iter()
        .find_map(|entry| Some((entry, entry.listeners.iter().find(|name| !has(name))?)))?;
    let known: Vec<_> = channel.spec.listeners.iter().map(|listener| listener.name.as_str()).collect();
    let whose =
        channel.spec.preset.map(|preset| format!(", with what preset {preset} gives,")).unwrap_or_default();
    Some(Problem::new(
        "UnknownListener",
        "spec.accepts",
        format!(
            "the entry {} names the listener {name}, and this Channel{whose} has {}: name one of them, or write the listener in spec.listeners",
            entry.name,
            if known.is_empty() { "none".to_owned() } else { known.join(", ") }
        ),
    ))
}

/// A port on which the preset's server speaks plain text, opened without an exception that is in force.
fn plaintext(channel: &Channel, today: Date) -> Option<Problem> {
    if excepted(channel, today) {
        return None;
    }
    let spec = &channel.spec;
    let preset = spec.preset?;
    let (listener, closed) =
        spec.listeners.iter().find_map(|listener| Some((listener, preset::plaintext(spec, listener)?)))?;
    let way = match closed.unless {
        Some(tls) => format!("say tls: {} where TLS is required there, ", tls.as_str()),
        None => String::new(),
    };
    Some(Problem::new(
        "PlaintextListener",
        "spec.listeners",
        format!(
            "the listener {} opens {}, where {preset} speaks plain text ({}): leave it out, {way}or agree on an exception for {PLAINTEXT_CONTROL} and write it in spec.exception",
            listener.name, closed.ports, closed.what
        ),
    ))
}

/// Whether plain text is loosened, until the exception's last day.
fn excepted(channel: &Channel, today: Date) -> bool {
    channel
        .spec
        .exception
        .iter()
        .filter(|exception| exception.control == PLAINTEXT_CONTROL)
        .any(|exception| exception.expires.parse::<Date>().is_ok_and(|last| last >= today))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::{
        channel::declaration,
        testing::{Scene, channel, named, now},
    };

    /// The problems of a Channel that entered as the watch lets it in.
    fn problems(spec: Value) -> Vec<Problem> {
        let entered = preset::resolved(Arc::new(channel("cc-front/sbc", spec)));
        let scene = Scene::new().given(entered.as_ref().clone());
        declaration::check(&entered, &named("cc-front/sbc"), &scene, now()).err().unwrap_or_default()
    }

    fn only(spec: Value) -> (&'static str, &'static str, String) {
        let [one] = <[Problem; 1]>::try_from(problems(spec)).unwrap();
        (one.reason, one.field, one.message)
    }

    #[test]
    fn listeners_of_a_preset_are_known_by_name_and_others_are_not() {
        let accepts = |listener: &str| json!({"preset": "Kamailio", "accepts": [{"name": "ivr", "listeners": [listener]}]});
        assert_eq!(problems(accepts("sips")), []);
        let (reason, field, message) = only(accepts("sip"));
        assert_eq!((reason, field), ("UnknownListener", "spec.accepts"));
        assert!(message.contains("preset Kamailio") && message.contains("has sips:"), "{message}");
    }

    #[test]
    fn a_plaintext_port_needs_an_exception_that_has_not_ended() {
        let plain = |exception: Value| {
            json!({
                "preset": "Kamailio", "exception": exception,
                "listeners": [{"name": "sip", "port": 5060, "protocol": "UDP"}],
            })
        };
        let (reason, field, message) = only(plain(json!([])));
        assert_eq!((reason, field), ("PlaintextListener", "spec.listeners"));
        assert!(message.contains("5060/UDP") && message.contains("SR-TLS-02"), "{message}");
        let excepted = |control: &str, expires: &str| {
            problems(plain(json!([{"control": control, "reason": "old phones", "expires": expires}]))).len()
        };
        assert_eq!(excepted("SR-TLS-02", "2026-11-22"), 0, "its last day is today");
        assert_eq!(excepted("SR-TLS-02", "2026-11-21"), 1);
        assert_eq!(excepted("SR-NET-01", "2027-11-21"), 1, "that loosens something else");
    }

    #[test]
    fn a_port_with_a_way_to_tls_says_which() {
        let smtp = |tls: Value| json!({"preset": "Postfix", "listeners": [{"name": "smtp", "port": 25, "tls": tls}]});
        assert_eq!(problems(smtp(json!("SMTP"))), []);
        let (reason, _, message) = only(smtp(json!("None")));
        assert_eq!(reason, "PlaintextListener");
        assert!(message.contains("say tls: SMTP"), "{message}");
    }
}
