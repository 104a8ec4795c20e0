//! What is wrong with a Channel's listeners once its preset is filled in.

use jiff::civil::Date;
use subrosa_crds::{
    Channel, Reason,
    preset::{self, PLAINTEXT_CONTROL},
};

use crate::channel::declaration::Problem;

/// Every problem of the listeners, and of the entries that name one.
pub fn check(channel: &Channel, today: Date) -> impl Iterator<Item = Problem> {
    unknown(channel).into_iter().chain(plaintext(channel, today))
}

/// An entry of accepts that names a listener the Channel does not have. Where a preset gives the listeners, the API server does
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
        Reason::UnknownListener,
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
        Reason::PlaintextListener,
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
mod tests;
