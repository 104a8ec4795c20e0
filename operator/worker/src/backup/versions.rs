//! The objects below a prefix with all their versions, and how they are removed for good.
//!
//! In a bucket with versions a plain deletion removes nothing: it writes a marker, and what was there stays. So each
//! version is deleted by its id.

use std::{fmt, sync::Arc};

use futures::TryStreamExt as _;
use http::Method;
use jiff::Timestamp;
use object_store::{ObjectStore, ObjectStoreExt as _, local::LocalFileSystem, path::Path};
use serde::Deserialize;
use subrosa_crds::backup::BackupStore;

use super::{
    problem::{BackupError, BackupProblem},
    s3,
    settings::StoreCredentials,
    signed::SignedRequests,
    store::FILE,
};

/// A version of an object, or the marker of a deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectVersion {
    /// The object.
    pub name: String,
    /// The version; `None` in a store without versions.
    pub version: Option<String>,
    /// Its bytes.
    pub size: u64,
}

/// How the removal of a version ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It is gone.
    Removed,
    /// Its lock keeps it until then.
    Locked(Timestamp),
}

/// What may remove objects of a store: nothing else of a worker can.
pub enum Remover {
    /// A directory, for development and tests.
    Plain(Arc<dyn ObjectStore>),
    /// A bucket.
    Bucket(SignedBucket),
}

/// A bucket that is asked by signed requests.
pub struct SignedBucket(SignedRequests);

impl fmt::Debug for Remover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remover").finish_non_exhaustive()
    }
}

impl Remover {
    /// Of the store that the settings name, as somebody who may delete there.
    ///
    /// # Errors
    /// When a setting cannot be followed.
    pub fn open(settings: &BackupStore, credentials: Option<&StoreCredentials>) -> Result<Self, BackupError> {
        let invalid = |problem: &str| BackupProblem::ConfigInvalid.with(format!("store.endpoint: {problem}"));
        if let Some(path) = settings.endpoint.strip_prefix(FILE).filter(|_| settings.allow_insecure) {
            let directory = std::path::Path::new(path).join(&settings.bucket);
            let local =
                LocalFileSystem::new_with_prefix(directory).map_err(|_| invalid("it is no directory"))?;
            return Ok(Self::Plain(Arc::new(local)));
        }
        let Some(credentials) = credentials else {
            return Err(BackupProblem::CredentialsMissing.with("an S3 store needs credentials"));
        };
        Ok(Self::Bucket(SignedBucket(s3::signed(settings, credentials)?)))
    }

    /// All versions of all objects below `folder`, which is a name without odd letters.
    ///
    /// # Errors
    /// When the store does not answer or refuses.
    pub async fn list(&self, folder: &str) -> Result<Vec<ObjectVersion>, BackupError> {
        match self {
            Self::Plain(objects) => {
                let listed = objects.list(Some(&Path::from(folder)));
                let listed = listed.map_ok(|one| ObjectVersion {
                    name: one.location.to_string(),
                    version: None,
                    size: one.size,
                });
                listed.try_collect().await.map_err(|_| refused(folder, "it cannot be listed"))
            }
            Self::Bucket(bucket) => bucket.list(folder).await,
        }
    }

    /// Removes one version for good.
    ///
    /// # Errors
    /// When the store does not answer, or refuses for another reason than a lock.
    pub async fn remove(&self, object: &ObjectVersion) -> Result<Removal, BackupError> {
        match (self, &object.version) {
            (Self::Plain(objects), _) => {
                let path = Path::from(object.name.as_str());
                objects.delete(&path).await.map_err(|_| refused(&object.name, "it cannot be deleted"))?;
                Ok(Removal::Removed)
            }
            (Self::Bucket(bucket), Some(version)) => bucket.remove(&object.name, version).await,
            (Self::Bucket(_), None) => Err(refused(&object.name, "it has no version")),
        }
    }
}

fn refused(name: &str, problem: &str) -> BackupError {
    BackupProblem::StoreRefused.with(format!("{name}: {problem}; look at the store's log"))
}

/// A page of S3's ListObjectVersions.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    #[serde(default)]
    is_truncated: bool,
    next_key_marker: Option<String>,
    next_version_id_marker: Option<String>,
    #[serde(default, rename = "Version")]
    versions: Vec<Listed>,
    #[serde(default, rename = "DeleteMarker")]
    markers: Vec<Listed>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    key: String,
    version_id: String,
    #[serde(default)]
    size: u64,
}

impl SignedBucket {
    async fn list(&self, folder: &str) -> Result<Vec<ObjectVersion>, BackupError> {
        let mut all = Vec::new();
        let mut after: Option<(String, String)> = None;
        loop {
            let mut query = format!("max-keys=1000&prefix={}&versions=", encoded(&format!("{folder}/")));
            if let Some((key, version)) = &after {
                query = format!("key-marker={}&{query}&version-id-marker={}", encoded(key), encoded(version));
            }
            let answer = self.0.ask(Method::GET, "", &query).await?;
            if !answer.status.is_success() {
                let status = answer.status.as_u16();
                return Err(match status {
                    401 | 403 => BackupProblem::CredentialsRefused.with(format!(
                        "the store answered {status} for the versions below {folder}: let the key list and delete versions there"
                    )),
                    _ => refused(folder, &format!("the store answered {status} for its versions")),
                });
            }
            let text = std::str::from_utf8(&answer.body).unwrap_or_default();
            let page: Page = quick_xml::de::from_str(text)
                .map_err(|_| refused(folder, "the store's list of versions cannot be read"))?;
            let listed = page.versions.into_iter().chain(page.markers).map(|one| ObjectVersion {
                name: one.key,
                version: Some(one.version_id),
                size: one.size,
            });
            // What somebody else put there, with a name that none of ours has, is not touched.
            all.extend(
                listed.filter(|one| is_plain(&one.name) && one.name.starts_with(&format!("{folder}/"))),
            );
            let next = page.next_key_marker.zip(page.next_version_id_marker).filter(|_| page.is_truncated);
            if !page.is_truncated {
                return Ok(all);
            }
            if next.is_none() || next == after {
                return Err(refused(folder, "the store's list of versions does not go on"));
            }
            after = next;
        }
    }

    async fn remove(&self, name: &str, version: &str) -> Result<Removal, BackupError> {
        let query = format!("versionId={}", encoded(version));
        let answer = self.0.ask(Method::DELETE, name, &query).await?;
        if answer.status.is_success() || answer.status.as_u16() == 404 {
            return Ok(Removal::Removed);
        }
        // A store answers the same to who may not delete and to who meets a lock.
        let seen = self.0.ask(Method::HEAD, name, &query).await?;
        match s3::locked_until(&seen.headers).filter(|until| *until > Timestamp::now()) {
            Some(until) => Ok(Removal::Locked(until)),
            None => Err(BackupProblem::CredentialsRefused.with(format!(
                "the store answered {} to the deletion of a version of {name}, which has no lock that can be read: let the key \
                 delete versions and read retention",
                answer.status.as_u16()
            ))),
        }
    }
}

/// Whether it is a name as ours are.
fn is_plain(name: &str) -> bool {
    name.bytes().all(|c| c.is_ascii_alphanumeric() || b"/-_.".contains(&c)) && !name.contains("..")
}

/// As it stands in a query.
fn encoded(text: &str) -> String {
    let plain = |c: u8| c.is_ascii_alphanumeric() || b"-_.~".contains(&c);
    text.bytes().map(|c| if plain(c) { char::from(c).to_string() } else { format!("%{c:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_markers_are_read_in_whatever_order() {
        let text = r#"<?xml version="1.0" encoding="UTF-8"?>
<ListVersionsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><IsTruncated>true</IsTruncated>
<NextKeyMarker>a/2</NextKeyMarker><NextVersionIdMarker>v3</NextVersionIdMarker>
<Version><Key>a/1</Key><VersionId>v1</VersionId><IsLatest>true</IsLatest><Size>7</Size><Owner><ID>x</ID></Owner></Version>
<DeleteMarker><Key>a/2</Key><VersionId>v2</VersionId></DeleteMarker>
<Version><Key>a/2</Key><VersionId>v3</VersionId><Size>9</Size></Version></ListVersionsResult>"#;
        let page: Page = quick_xml::de::from_str(text).unwrap();
        assert_eq!((page.versions.len(), page.markers.len(), page.is_truncated), (2, 1, true));
        assert_eq!((page.versions[1].size, page.markers[0].version_id.as_str()), (9, "v2"));
    }

    #[test]
    fn odd_names_are_encoded_or_left_alone() {
        assert_eq!(encoded("a b/c+ü"), "a%20b%2Fc%2B%C3%BC");
        assert!(is_plain("abcdefghijklmnop/2026m12/data/00/00ff"));
        for odd in ["a/../b", "a b", "a?b", "a%2e"] {
            assert!(!is_plain(odd), "{odd}");
        }
    }
}
