use std::fs;

use proptest::{prelude::*, test_runner::TestRunner};
use subrosa_records::vault::sealing::WrappedKey;

use super::*;

fn the_key() -> FileKey {
    file_key(&[5; 16]).unwrap()
}

fn text(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()[0]).collect()
}

fn sealed(text: &[u8]) -> Vec<u8> {
    let sealed = SealedKey {
        key: "abcdefghijklmnop.chat.2026m11".parse().unwrap(),
        item: ItemId::of_name("a"),
        wrapped: WrappedKey { version: 1, bytes: vec![1; 44] },
    };
    let mut file = Vec::new();
    seal_stream(&Prepared::with(&the_key(), &sealed), text, &mut file, NonZeroUsize::MIN).unwrap();
    file
}

/// What can be done to a file without the key.
#[derive(Clone, Debug)]
enum Mutation {
    Flip(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Append(Vec<u8>),
    Insert(prop::sample::Index, u8),
    Remove(prop::sample::Index, usize),
    Swap(prop::sample::Index, prop::sample::Index, usize),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    use prop::sample::Index;
    prop_oneof![
        (any::<Index>(), 0..8_u8).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        any::<Index>().prop_map(Mutation::Cut),
        prop::collection::vec(any::<u8>(), 1..40).prop_map(Mutation::Append),
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Mutation::Insert(at, byte)),
        (any::<Index>(), 1..70_000_usize).prop_map(|(at, length)| Mutation::Remove(at, length)),
        (any::<Index>(), any::<Index>(), 1..70_000_usize)
            .prop_map(|(one, other, length)| Mutation::Swap(one, other, length)),
    ]
}

impl Mutation {
    fn apply(&self, file: &mut Vec<u8>) {
        let length = file.len();
        match self {
            Self::Flip(at, bit) => file[at.index(length)] ^= 1 << bit,
            Self::Cut(at) => file.truncate(at.index(length)),
            Self::Append(bytes) => file.extend_from_slice(bytes),
            Self::Insert(at, byte) => file.insert(at.index(length), *byte),
            Self::Remove(at, count) => {
                let at = at.index(length);
                drop(file.drain(at..(at + count).min(length)));
            }
            Self::Swap(one, other, count) => {
                let (one, other) = (one.index(length), other.index(length));
                let (one, other) = (one.min(other), one.max(other));
                let count = (*count).min(other - one).min(length - other);
                let (before, after) = file.split_at_mut(other);
                before[one..one + count].swap_with_slice(&mut after[..count]);
            }
        }
    }
}

/// Opens as the command does, over a file that is there.
fn open_over(directory: &Path, bytes: &[u8]) -> Result<(), SealError> {
    let (from, to) = (directory.join("a.age"), directory.join("a"));
    fs::write(&from, bytes).unwrap();
    let opened = read_file(&from)?;
    opened.expect(&ItemId::of_name("a"))?;
    let key = opened.unlock_with(&the_key())?;
    open_file(opened, &key, &to, true, NonZeroUsize::MIN).map(|_| ())
}

#[test]
fn none_of_a_thousand_changed_files_opens_or_touches_the_file_that_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let to = directory.path().join("a");
    let text = text(3 * 65_536 + 100);
    let whole = sealed(&text);
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 1000,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let ran = runner.run(&mutation(), |mutation| {
        let mut file = whole.clone();
        mutation.apply(&mut file);
        prop_assume!(file != whole);
        fs::write(&to, b"what was there").unwrap();
        prop_assert!(open_over(directory.path(), &file).is_err());
        prop_assert_eq!(fs::read(&to).unwrap(), b"what was there".to_vec());
        Ok(())
    });
    ran.unwrap();
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    // The one that was not changed does.
    open_over(directory.path(), &whole).unwrap();
    assert!(fs::read(&to).unwrap() == text);
}
