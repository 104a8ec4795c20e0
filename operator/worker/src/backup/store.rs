//! The store: objects that are created once, read, and listed. Nothing is overwritten or removed.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use futures::TryStreamExt as _;
use object_store::{
    GetOptions, ObjectStore, PutMode, PutOptions, PutPayload, local::LocalFileSystem, path::Path,
};
use subrosa_crds::backup::BackupStore;

use super::{
    problem::{BackupError, BackupProblem},
    s3::{self, LockWitness},
    settings::StoreCredentials,
};

/// What `file://` endpoints begin with.
pub(super) const FILE: &str = "file://";

/// A bucket, or a directory for development. Cheap to clone.
#[derive(Clone)]
pub struct Bucket {
    objects: Arc<dyn ObjectStore>,
    /// Writes with the lock, where the settings have one.
    writer: Arc<dyn ObjectStore>,
    witness: Option<Arc<LockWitness>>,
    #[cfg(test)]
    fails: Option<Fails>,
}

/// Says, of a write, with what it fails.
#[cfg(test)]
type Fails = Arc<dyn Fn(&str) -> Option<BackupError> + Send + Sync>;

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket").finish_non_exhaustive()
    }
}

/// How a write ended that creates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Creation {
    /// It was not there.
    Created,
    /// It was there with the same content, such as after a lost answer.
    Same,
    /// It was there with other content, which stays.
    Taken,
}

impl Bucket {
    /// The store that the settings name.
    ///
    /// # Errors
    /// When a setting cannot be followed.
    pub fn open(settings: &BackupStore, credentials: Option<&StoreCredentials>) -> Result<Self, BackupError> {
        let invalid =
            |problem: String| BackupProblem::ConfigInvalid.with(format!("store.endpoint: {problem}"));
        if let Some(path) = settings.endpoint.strip_prefix(FILE) {
            if !settings.allow_insecure {
                return Err(invalid("a path is for development; write https, or set allowInsecure".into()));
            }
            if settings.lock.is_some() {
                return Err(invalid("a directory has no object lock: leave store.lock out".into()));
            }
            let directory = std::path::Path::new(path).join(&settings.bucket);
            let local = LocalFileSystem::new_with_prefix(&directory)
                .map_err(|_| invalid(format!("{} is no directory", directory.display())))?;
            return Ok(Self::over(Arc::new(local)));
        }
        let Some(credentials) = credentials else {
            return Err(BackupProblem::CredentialsMissing.with("an S3 store needs credentials"));
        };
        let s3::Client { reader, writer, witness } = s3::connect(settings, credentials)?;
        Ok(Self {
            objects: reader,
            writer,
            witness: witness.map(Arc::new),
            #[cfg(test)]
            fails: None,
        })
    }

    /// One over any objects, for tests.
    pub fn over(objects: Arc<dyn ObjectStore>) -> Self {
        Self {
            writer: Arc::clone(&objects),
            objects,
            witness: None,
            #[cfg(test)]
            fails: None,
        }
    }

    /// The same, of which writes fail.
    #[cfg(test)]
    pub(super) fn failing(self, fails: Fails) -> Self {
        Self { fails: Some(fails), ..self }
    }

    /// The content of an object; `None` where there is none.
    ///
    /// # Errors
    /// When the store does not answer or refuses.
    pub async fn get(&self, name: &str) -> Result<Option<Bytes>, BackupError> {
        let got = match self.objects.get_opts(&Path::from(name), GetOptions::default()).await {
            Ok(got) => got.bytes().await,
            Err(error) => Err(error),
        };
        match got {
            Ok(bytes) => Ok(Some(bytes)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failure("read", name, &error)),
        }
    }

    /// Creates an object that is not there yet, with the lock where the settings have one.
    ///
    /// # Errors
    /// When the store does not answer, refuses or is full, or does not keep the lock.
    pub async fn create(&self, name: &str, content: Bytes) -> Result<Creation, BackupError> {
        #[cfg(test)]
        if let Some(error) = self.fails.as_ref().and_then(|fails| fails(name)) {
            return Err(error);
        }
        let path = Path::from(name);
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.writer.put_opts(&path, PutPayload::from_bytes(content.clone()), options).await {
            Ok(put) => {
                if let Some(witness) = &self.witness {
                    witness.check(name, put.version.as_deref()).await?;
                }
                Ok(Creation::Created)
            }
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                match self.get(name).await? {
                    Some(there) if there == content => Ok(Creation::Same),
                    _ => Ok(Creation::Taken),
                }
            }
            Err(object_store::Error::NotFound { .. }) => Err(BackupProblem::StoreRefused.with(format!(
                "{name} cannot be written: there is no such bucket; make it, or name another"
            ))),
            Err(error) => Err(failure("written", name, &error)),
        }
    }

    /// The objects below `prefix`, with their sizes, in the order of their names.
    ///
    /// # Errors
    /// When the store does not answer or refuses.
    pub async fn list(&self, prefix: &str) -> Result<Vec<(String, u64)>, BackupError> {
        let listed = self.objects.list(Some(&Path::from(prefix)));
        let listed = listed.map_ok(|one| (one.location.to_string(), one.size)).try_collect::<Vec<_>>().await;
        let mut listed = listed.map_err(|error| failure("listed", prefix, &error))?;
        listed.sort();
        Ok(listed)
    }
}

/// What a failure of the store is called, and what is told of it: never what the store repeats of the request.
fn failure(what: &str, name: &str, error: &object_store::Error) -> BackupError {
    let text = error.to_string();
    let status = number_after(&text, "status code: ");
    let code = between(&text, "<Code>", "</Code>");
    let (problem, next) = judged(error, status, code);
    let said = match (status, code) {
        (Some(status), Some(code)) => format!("the store answered {status} {code}"),
        (Some(status), None) => format!("the store answered {status}"),
        _ => deepest(error),
    };
    problem.with(format!("{name} cannot be {what}: {said}; {next}"))
}

fn judged(
    error: &object_store::Error,
    status: Option<u16>,
    code: Option<&str>,
) -> (BackupProblem, &'static str) {
    use object_store::Error;
    let no_room =
        ["QuotaExceeded", "InsufficientCapacity", "XMinioStorageFull", "StorageFull", "EntityTooLarge"];
    if status == Some(507) || code.is_some_and(|code| no_room.contains(&code)) || is_full(error) {
        return (BackupProblem::StoreFull, "make room in the store, or raise the bucket's quota");
    }
    match (error, status) {
        (Error::PermissionDenied { .. } | Error::Unauthenticated { .. }, _) | (_, Some(401 | 403)) => (
            BackupProblem::CredentialsRefused,
            "look whether the Secret's keys are valid, and may read, list and create objects below the Channel's identity",
        ),
        (_, Some(301 | 302 | 307 | 308)) => (
            BackupProblem::StoreRefused,
            "redirects are not followed: name the endpoint and region of the bucket",
        ),
        (_, Some(400..=499)) => (
            BackupProblem::StoreRefused,
            "look at the endpoint, the bucket and the region, and at the store's log",
        ),
        _ => (BackupProblem::StoreUnreachable, "the next run tries again and continues"),
    }
}

/// Whether a disk is full, where the store is a directory.
fn is_full(error: &object_store::Error) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(one) = cause {
        let io = one.downcast_ref::<std::io::Error>();
        if io.is_some_and(|io| {
            matches!(io.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
        }) {
            return true;
        }
        cause = one.source();
    }
    false
}

/// The innermost cause, which names no address with a query.
fn deepest(error: &object_store::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

fn number_after(text: &str, before: &str) -> Option<u16> {
    let (_, rest) = text.split_once(before)?;
    rest.get(..3)?.parse().ok()
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let code = text.split_once(before)?.1.split_once(after)?.0;
    (code.len() <= 64 && code.bytes().all(|c| c.is_ascii_alphanumeric())).then_some(code)
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    #[tokio::test]
    async fn what_is_there_is_never_overwritten() {
        let store = Bucket::over(Arc::new(InMemory::new()));
        let create = async |text: &'static str| store.create("a/b", text.into()).await.unwrap();
        assert_eq!(create("one").await, Creation::Created);
        assert_eq!(create("one").await, Creation::Same);
        assert_eq!(create("two").await, Creation::Taken);
        assert_eq!(store.get("a/b").await.unwrap().as_deref(), Some(b"one".as_slice()));
        assert_eq!(store.get("a/c").await.unwrap(), None);
        assert_eq!(store.list("a").await.unwrap(), [("a/b".to_owned(), 3)]);
    }

    #[test]
    fn a_failure_is_told_without_what_the_store_repeats() {
        let answer = |status: &str, code: &str| {
            object_store::Error::Generic {
            store: "S3",
            source: format!(
                "Server returned non-2xx status code: {status}: <Error><Code>{code}</Code><AWSAccessKeyId>AKSECRET</AWSAccessKeyId></Error>"
            )
            .into(),
        }
        };
        for (status, code, problem) in [
            ("403 Forbidden", "SignatureDoesNotMatch", BackupProblem::CredentialsRefused),
            ("400 Bad Request", "InvalidArgument", BackupProblem::StoreRefused),
            ("503 Service Unavailable", "SlowDown", BackupProblem::StoreUnreachable),
            ("507 Insufficient Storage", "Full", BackupProblem::StoreFull),
            ("400 Bad Request", "QuotaExceeded", BackupProblem::StoreFull),
            ("301 Moved", "PermanentRedirect", BackupProblem::StoreRefused),
        ] {
            let told = failure("read", "a", &answer(status, code));
            assert_eq!(told.problem, problem, "{told}");
            assert!(told.message.contains(code) && !told.message.contains("AKSECRET"), "{told}");
        }
    }
}
