use std::time::Instant;

use super::{super::testing::vault_at, *};

/// A Vault that nobody asks.
fn vault() -> DomainVault {
    vault_at("http://127.0.0.1:1")
}

fn read_key(vault: &DomainVault, id: &ChannelId) {
    let name = TransitKeyName::new(format!("{id}.call-recording.2026")).unwrap();
    vault.keys().insert(name, (Instant::now(), "{}".into()));
}

#[test]
fn of_a_channel_that_is_settled_a_name_is_kept_until_it_is_worked_on_again() {
    let vault = vault();
    let (here, gone) = (ChannelId::mint("u", "here"), ChannelId::mint("u", "gone"));
    [&here, &gone].into_iter().for_each(|id| read_key(&vault, id));
    let name = ChannelRef::new("cc-front", "gone");
    vault.settle(&gone, &name);
    assert_eq!((vault.settled(&gone), vault.settled(&here)), (Some(name), None));
    let kept: BTreeMap<_, _> = vault.kept().into();
    assert_eq!((kept["keys"], kept["records"], kept["settledOrphans"]), (1, 0, 1));
    vault.unsettle(&gone);
    assert_eq!(vault.settled(&gone), None, "it may have something to withdraw again");
}

#[test]
fn keys_of_channels_that_are_gone_are_not_remembered() {
    let vault = vault();
    let ids: Vec<_> = (0..1000).map(|number| ChannelId::mint("u", &format!("c-{number}"))).collect();
    ids.iter().for_each(|id| read_key(&vault, id));
    let there: BTreeSet<_> = ids.iter().take(3).cloned().collect();
    vault.keep(&there);
    let left: BTreeSet<_> = vault.keys().keys().map(|name| name.as_str().to_owned()).collect();
    assert_eq!(left.len(), 3);
    assert!(there.iter().all(|id| left.iter().any(|name| name.starts_with(id.as_str()))), "{left:?}");
}
