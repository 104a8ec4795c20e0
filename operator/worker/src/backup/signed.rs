//! Signed requests to a bucket that object_store has no calls for: versions, their locks, and their removal.

use std::fmt;

use bytes::Bytes;
use futures::TryStreamExt as _;
use http::{HeaderMap, Method, Request, StatusCode};
use object_store::{
    aws::{AwsAuthorizer, AwsCredential},
    client::{HttpClient, HttpRequestBody},
};
use secrecy::ExposeSecret as _;
use subrosa_crds::backup::BackupStore;

use super::{
    problem::{BackupError, BackupProblem},
    settings::StoreCredentials,
};

/// The longest answer that is read: a page of a thousand versions has less.
const LONGEST: usize = 4 << 20;

/// Who asks one bucket.
pub(super) struct SignedRequests {
    http: HttpClient,
    base: String,
    region: String,
    credential: AwsCredential,
}

impl fmt::Debug for SignedRequests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedRequests").field("base", &self.base).finish_non_exhaustive()
    }
}

/// What the store answered.
pub(super) struct Answer {
    /// Whether it did it.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl SignedRequests {
    /// To the bucket of `settings`.
    pub fn new(settings: &BackupStore, credentials: &StoreCredentials, http: reqwest::Client) -> Self {
        Self {
            http: HttpClient::new(http),
            base: format!("{}/{}", settings.endpoint.trim_end_matches('/'), settings.bucket),
            region: settings.region.clone(),
            credential: AwsCredential {
                key_id: credentials.access_key_id.clone(),
                secret_key: credentials.secret_access_key.expose_secret().to_owned(),
                token: None,
            },
        }
    }

    /// Sends a request for `path`, which is below the bucket, with `query`, which is encoded already.
    ///
    /// # Errors
    /// When the request cannot be made, or is not answered.
    pub async fn ask(&self, method: Method, path: &str, query: &str) -> Result<Answer, BackupError> {
        let cannot = |problem: &str| {
            BackupProblem::StoreUnreachable.with(format!("{path}: {problem}; the next run tries again"))
        };
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}/{path}?{query}", self.base))
            .body(HttpRequestBody::empty())
            .map_err(|_| cannot("the request cannot be made"))?;
        AwsAuthorizer::new(&self.credential, "s3", &self.region)
            .try_authorize(&mut request, None)
            .map_err(|_| cannot("the request cannot be signed"))?;
        let answer = self.http.execute(request).await.map_err(|_| cannot("the store does not answer"))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let mut body = Vec::new();
        let mut pieces = answer.into_body().bytes_stream();
        while let Some(piece) = pieces.try_next().await.map_err(|_| cannot("the answer ended early"))? {
            if body.len() + piece.len() > LONGEST {
                return Err(cannot("the answer is too long"));
            }
            body.extend_from_slice(&piece);
        }
        Ok(Answer { status, headers, body: body.into() })
    }
}
