//! The key to which a generation's certificate belongs.
//!
//! An authority's key is on a mount of its own, on which the destroyer of data keys has no right. Earlier releases
//! made it on the mount of data keys; those generations stay there until they are retired. The next generation gets
//! its key on the mount for authorities, where versions begin with 1 again.

use super::AuthorityKeyState;
use crate::record::generations::Generations;

/// The latest version of an authority's key on each mount, as Vault shows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuthorityKeys {
    /// On the mount for authorities.
    pub own: Option<u32>,
    /// On the mount of data keys, by an earlier release.
    pub earlier: Option<u32>,
}

/// A version of an authority's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AuthorityKey {
    /// On the mount for authorities.
    Own(u32),
    /// On the mount of data keys.
    Earlier(u32),
}

impl AuthorityKey {
    /// The key of a recorded generation; `key_version` is [`Generation::key_version`](crate::record::generations::Generation).
    #[must_use]
    pub fn of(version: u32, key_version: Option<u32>) -> Self {
        key_version.map_or(Self::Earlier(version), Self::Own)
    }

    /// The value for the generation's record.
    #[must_use]
    pub fn key_version(self) -> Option<u32> {
        match self {
            Self::Own(version) => Some(version),
            Self::Earlier(_) => None,
        }
    }
}

/// How to make the next version of an authority's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextKey {
    /// Create a key on the mount for authorities.
    CreateOwn,
    /// Rotate the key there, whose latest version is this.
    RotateOwn(u32),
    /// Create a key on the mount of data keys, because there is no other.
    CreateEarlier,
    /// Rotate the key there, whose latest version is this.
    RotateEarlier(u32),
}

impl AuthorityKeys {
    /// How to make the next version; `has_mount` says whether the mount for authorities is set up.
    #[must_use]
    pub fn next(&self, has_mount: bool) -> NextKey {
        match (self.own, self.earlier) {
            (Some(latest), _) => NextKey::RotateOwn(latest),
            (None, _) if has_mount => NextKey::CreateOwn,
            (None, Some(latest)) => NextKey::RotateEarlier(latest),
            (None, None) => NextKey::CreateEarlier,
        }
    }

    /// The key's latest version, as the number of the newest generation that it can belong to.
    #[must_use]
    pub fn as_generations(&self, generations: &Generations) -> AuthorityKeyState {
        let before = before_own(generations);
        let latest = match (self.own, self.earlier) {
            (Some(own), _) => Some(before.saturating_add(own)),
            // Versions that somebody made there after the change of mounts belong to no generation.
            (None, Some(earlier)) if is_own(generations) => Some(earlier.min(before)),
            (None, earlier) => earlier,
        };
        latest.map_or(AuthorityKeyState::Absent, |latest| AuthorityKeyState::Present { latest })
    }

    /// The key of a recorded generation, or of the next one.
    #[must_use]
    pub fn of(&self, generations: &Generations, version: u32) -> AuthorityKey {
        if let Some(known) = generations.get(version) {
            return AuthorityKey::of(version, known.key_version);
        }
        match (self.own, version.checked_sub(before_own(generations))) {
            (Some(_), Some(own)) if own > 0 => AuthorityKey::Own(own),
            _ => AuthorityKey::Earlier(version),
        }
    }
}

/// How many generations precede those with keys on the mount for authorities; all recorded ones, if there is none of
/// the latter yet.
fn before_own(generations: &Generations) -> u32 {
    let own = generations.iter().find_map(|one| Some(one.version.saturating_sub(one.key_version?)));
    own.or(generations.newest()).unwrap_or_default()
}

fn is_own(generations: &Generations) -> bool {
    generations.iter().any(|one| one.key_version.is_some())
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};

    use super::*;
    use crate::record::generations::{NewCertificate, tests::certificate};

    /// Generations with these numbers and versions of keys.
    fn recorded(all: &[(u32, Option<u32>)]) -> Generations {
        all.iter().fold(Generations::default(), |made, (version, key_version)| {
            let made_now = certificate(*version, Timestamp::UNIX_EPOCH, SignedDuration::from_hours(1));
            made.with_certificate(NewCertificate { key_version: *key_version, ..made_now })
        })
    }

    fn keys(own: Option<u32>, earlier: Option<u32>) -> AuthorityKeys {
        AuthorityKeys { own, earlier }
    }

    #[test]
    fn numbers_go_on_where_the_earlier_key_ended() {
        use AuthorityKey::{Earlier, Own};
        let (none, two) = (recorded(&[]), recorded(&[(1, None), (2, None)]));
        let moved = recorded(&[(2, None), (3, Some(1))]);
        let later = recorded(&[(5, Some(3))]);
        let latest = |latest| AuthorityKeyState::Present { latest };
        for (generations, there, newest, of) in [
            (&none, keys(None, None), AuthorityKeyState::Absent, vec![]),
            (&none, keys(Some(1), None), latest(1), vec![(1, Own(1))]),
            // A release without the other mount, or one whose vault-setup was not run again.
            (&none, keys(None, Some(1)), latest(1), vec![(1, Earlier(1))]),
            (&two, keys(None, Some(2)), latest(2), vec![(1, Earlier(1)), (2, Earlier(2)), (3, Earlier(3))]),
            (&two, keys(None, Some(3)), latest(3), vec![(3, Earlier(3))]),
            // The own key was made, and the process ended before its certificate was recorded.
            (&two, keys(Some(1), Some(2)), latest(3), vec![(2, Earlier(2)), (3, Own(1))]),
            (&moved, keys(Some(1), Some(2)), latest(3), vec![(2, Earlier(2)), (3, Own(1))]),
            (&moved, keys(Some(2), Some(9)), latest(4), vec![(2, Earlier(2)), (3, Own(1)), (4, Own(2))]),
            (&later, keys(Some(4), None), latest(6), vec![(5, Own(3)), (6, Own(4))]),
            // Lost: the record is ahead of what is left.
            (&moved, keys(None, Some(9)), latest(2), vec![(3, Own(1))]),
            (&later, keys(None, None), AuthorityKeyState::Absent, vec![(5, Own(3))]),
        ] {
            assert_eq!(there.as_generations(generations), newest, "{generations:?} {there:?}");
            for (version, key) in of {
                assert_eq!(there.of(generations, version), key, "{version} of {generations:?} {there:?}");
            }
        }
    }

    #[test]
    fn the_next_key_is_made_on_the_mount_for_authorities_once_it_is_there() {
        assert_eq!(keys(None, None).next(true), NextKey::CreateOwn);
        assert_eq!(keys(None, Some(2)).next(true), NextKey::CreateOwn);
        assert_eq!(keys(Some(1), Some(2)).next(true), NextKey::RotateOwn(1));
        // Until vault-setup was run again it goes on as before.
        assert_eq!(keys(None, None).next(false), NextKey::CreateEarlier);
        assert_eq!(keys(None, Some(2)).next(false), NextKey::RotateEarlier(2));
        assert_eq!(keys(Some(1), Some(2)).next(false), NextKey::RotateOwn(1), "never back");
    }

    #[test]
    fn a_recorded_version_is_read_back_as_it_was_written() {
        for key in [AuthorityKey::Own(3), AuthorityKey::Earlier(7)] {
            assert_eq!(AuthorityKey::of(7, key.key_version()), key);
        }
        let text = serde_json::to_value(recorded(&[(2, None), (3, Some(1))])).unwrap();
        assert_eq!(text[0].get("keyVersion"), None, "as earlier releases wrote it");
        assert_eq!(text[1]["keyVersion"], 1);
        assert_eq!(
            serde_json::from_value::<Generations>(text).unwrap(),
            recorded(&[(2, None), (3, Some(1))])
        );
    }
}
