//! Generates `docs/presets.md`: one section per server, from the table and the configuration of its example.

use std::fmt::{self, Write as _};

use super::Preset;
use crate::channel::{ListenerTls, Reload};

const INTRO: &str = include_str!("intro.txt");

/// A file of an example's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Its name.
    pub name: String,
    /// What is in it.
    pub text: String,
}

/// The page; `configuration` has the server's files of a preset's example.
///
/// # Errors
/// Never: a `String` takes every text.
pub fn page(configuration: impl Fn(Preset) -> Vec<Copied>) -> Result<String, fmt::Error> {
    let mut page = INTRO.to_owned();
    overview(&mut page)?;
    for preset in Preset::ALL {
        section(preset, &configuration(preset), &mut page)?;
    }
    Ok(page)
}

fn overview(page: &mut String) -> fmt::Result {
    writeln!(page, "## All of them\n\n| preset | type | listeners | reload |\n| --- | --- | --- | --- |")?;
    for preset in Preset::ALL {
        let facts = preset.facts();
        let listeners: Vec<_> =
            facts.listeners.iter().map(|offer| format!("{} {}", offer.name, offer.ports)).collect();
        writeln!(
            page,
            "| [{preset}](#{}) | {:?} | {} | {} |",
            preset.as_str().to_lowercase(),
            facts.type_,
            listeners.join(", "),
            reload(facts.reload)
        )?;
    }
    Ok(())
}

fn section(preset: Preset, configuration: &[Copied], page: &mut String) -> fmt::Result {
    let facts = preset.facts();
    writeln!(page, "\n## {preset}\n\n| listener | port | TLS | what |\n| --- | --- | --- | --- |")?;
    for offer in facts.listeners {
        writeln!(page, "| `{}` | {} | {} | {} |", offer.name, offer.ports, begins(offer.tls), offer.what)?;
    }
    writeln!(page, "\n| closed | what speaks there | a listener only with |\n| --- | --- | --- |")?;
    for closed in facts.closed {
        let way = match closed.unless {
            Some(tls) => format!("`tls: {}`, or an exception", tls.as_str()),
            None => "an exception".to_owned(),
        };
        writeln!(page, "| {} | {} | {way} |", closed.ports, closed.what)?;
    }
    writeln!(page, "\n| file in `/etc/tls` | goes to |\n| --- | --- |")?;
    for setting in facts.settings {
        writeln!(page, "| `{}` | {} |", setting.file, setting.setting)?;
    }
    writeln!(page, "\n**Reload: `{}`.** {}", reload(facts.reload), facts.reload_by)?;
    if let Some(command) = facts.command {
        writeln!(page, "The command of the container beside it: `{command}`.")?;
    }
    if let Some((finished, why)) = facts.recordings {
        writeln!(page, "\n**Recordings: `--finished {}`.** {why}", finished.as_str())?;
    }
    writeln!(page)?;
    for note in facts.notes {
        writeln!(page, "- {note}")?;
    }
    for file in configuration {
        writeln!(page, "\n`{}`:\n\n```\n{}\n```", file.name, file.text.trim_end())?;
    }
    let example = preset.as_str().to_lowercase();
    writeln!(page, "\nThe whole of it: [examples/presets/{example}](../examples/presets/{example}).")?;
    writeln!(page, "Its own documentation: {}.", facts.sources.join("; "))
}

fn begins(tls: ListenerTls) -> &'static str {
    match tls {
        ListenerTls::Direct => "with the first byte",
        ListenerTls::PostgreSQL => "after SSLRequest",
        ListenerTls::Smtp | ListenerTls::Imap => "after STARTTLS",
        ListenerTls::None => "no: media encrypts itself",
    }
}

fn reload(reload: Reload) -> &'static str {
    match reload {
        Reload::None => "None",
        Reload::Workload => "Workload",
        Reload::Restart => "Restart",
    }
}
