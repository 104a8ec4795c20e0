//! Problems of a Channel's listeners once its preset is filled in.

use jiff::civil::Date;
use subrosa_crds::{Reason, preset::PLAINTEXT_CONTROL};

use crate::{channel::validate::Problem, world::declaration::Declaration};

/// Every problem of the listeners, and of entries that name one.
pub fn check(channel: &Declaration, today: Date) -> impl Iterator<Item = Problem> {
    unknown(channel).into_iter().chain(plaintext(channel, today))
}

/// An entry of accepts that names an unknown listener. The API server cannot check that where a preset gives the
/// listeners.
fn unknown(channel: &Declaration) -> Option<Problem> {
    let (entry, name) = channel
        .accepts()
        .iter()
        .find_map(|entry| Some((entry, entry.listeners.iter().find(|name| !channel.has_listener(name))?)))?;
    let known: Vec<_> = channel.listeners().iter().map(|listener| listener.name.as_str()).collect();
    let whose =
        channel.preset().map(|preset| format!(", with what preset {preset} gives,")).unwrap_or_default();
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

/// A port on which the preset's server speaks plain text, opened without a valid exception.
fn plaintext(channel: &Declaration, today: Date) -> Option<Problem> {
    if excepted(channel, today) {
        return None;
    }
    let preset = channel.preset()?;
    let (listener, closed) = channel.plaintext_listener()?;
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

/// Whether an exception for plain text is in force.
fn excepted(channel: &Declaration, today: Date) -> bool {
    channel
        .exceptions()
        .iter()
        .filter(|exception| exception.control == PLAINTEXT_CONTROL)
        .any(|exception| exception.expires.parse::<Date>().is_ok_and(|last| last >= today))
}

#[cfg(test)]
mod tests;
