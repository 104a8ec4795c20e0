//! The table: one row per server, with what its own documentation or source says.

pub(super) mod data;
pub(super) mod mail;
pub(super) mod proxy;
pub(super) mod telephony;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::preset::Preset;

    const FILES: [&str; 4] = ["tls.crt", "tls.key", "clients-ca.crt", "servers-ca.crt"];

    #[test]
    fn every_row_is_complete() {
        for preset in Preset::ALL {
            let facts = preset.facts();
            assert!(!facts.listeners.is_empty() && !facts.closed.is_empty(), "{preset}");
            assert!(!facts.sources.is_empty() && facts.reload_by.ends_with('.'), "{preset}");
            let named: BTreeSet<&str> = facts.settings.iter().map(|setting| setting.file).collect();
            assert!(named.iter().all(|file| FILES.contains(file)), "{preset}: {named:?}");
            for file in ["tls.crt", "tls.key", "clients-ca.crt"] {
                assert!(named.contains(file), "{preset}: nothing reads {file}");
            }
            let names: BTreeSet<&str> = facts.listeners.iter().map(|offer| offer.name).collect();
            assert_eq!(names.len(), facts.listeners.len(), "{preset}: a name twice");
            for note in facts.notes {
                assert!(note.ends_with('.'), "{preset}: {note}");
            }
        }
    }
}
