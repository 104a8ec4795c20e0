//! Describes presets, and what one gave to a Channel.

use subrosa_crds::{
    ChannelSpec,
    channel::{ListenerTls, Reload},
    preset::Preset,
};

use super::page::Page;
use crate::cli::table::Tone;

/// What the preset of a Channel's written `spec` added to it.
pub fn given(spec: &ChannelSpec, page: &mut Page) {
    let Some(preset) = spec.preset else { return };
    let facts = preset.facts();
    let mut gives = Vec::new();
    if spec.listeners.is_empty() {
        gives.push("its listeners".to_owned());
    }
    if spec.type_.is_none() {
        gives.push(format!("type {:?}", facts.type_));
    }
    if spec.tls.as_ref().and_then(|tls| tls.reload).is_none() {
        gives.push(match facts.reload {
            Reload::Restart if spec.workload.ref_.is_none() => {
                page.next_step(&format!(
                    "name what runs the pods in workload.ref, so that {preset} is restarted for a new certificate; until then somebody has to"
                ));
                "tls.reload None, for workload.ref names nothing to restart".to_owned()
            }
            reload => format!("tls.reload {reload:?}"),
        });
    }
    let gives = if gives.is_empty() { "nothing: all of it is written".to_owned() } else { gives.join(", ") };
    page.fact("Preset", &format!("{preset} gives {gives}"));
    let closed: Vec<_> = facts
        .closed
        .iter()
        .map(|closed| match closed.unless {
            Some(tls) => format!("{} without tls: {}", closed.ports, tls.as_str()),
            None => closed.ports.to_string(),
        })
        .collect();
    page.fact("Stays closed", &closed.join(", "));
}

/// Describes `preset`.
pub fn describe(preset: Preset, page: &mut Page) {
    let facts = preset.facts();
    page.heading(&format!("Preset {preset}: type {:?}", facts.type_));
    page.section("Where it listens");
    for offer in facts.listeners {
        let tls = match offer.tls {
            ListenerTls::None => String::new(),
            tls => format!(" (tls: {})", tls.as_str()),
        };
        page.line(&format!("{} {}{tls}: {}", offer.name, offer.ports, offer.what), Tone::Plain);
    }
    page.section("What stays closed, without an exception for SR-TLS-02");
    for closed in facts.closed {
        page.line(&format!("{}: {}", closed.ports, bare(closed.what)), Tone::Plain);
    }
    page.section("Which file of the Secret goes where");
    for setting in facts.settings {
        page.line(&format!("{:<16}{}", setting.file, bare(setting.setting)), Tone::Plain);
    }
    page.section("How it takes a renewed certificate");
    page.line(&format!("tls.reload {:?}", facts.reload), Tone::Plain);
    page.below(&bare(facts.reload_by));
    if let Some(command) = facts.command {
        page.below(&format!("to be run when the files change: {command}"));
    }
    if let Some((finished, why)) = facts.recordings {
        page.section("When a recording is finished");
        page.line(&format!("seal --watch --finished {}", finished.as_str()), Tone::Plain);
        page.below(&bare(why));
    }
    page.section("What to know");
    for note in facts.notes {
        page.line(&bare(note), Tone::Plain);
    }
    page.section("Its own documentation");
    for source in facts.sources {
        page.line(&bare(source).replace("](", " (").replace('[', ""), Tone::Plain);
    }
}

/// Removes Markdown.
fn bare(text: &str) -> String {
    text.replace('`', "")
}
