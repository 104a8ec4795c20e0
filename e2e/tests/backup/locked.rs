//! Object lock on versitygw: every object carries the lock, and the store refuses to delete its version.
//!
//! It proves that the headers are sent, signed and read back. Whether a store keeps COMPLIANCE against its own
//! administrator is the store's.

use std::fs;

use futures::TryStreamExt as _;
use http::{Method, Request, header::HeaderValue};
use object_store::{
    aws::{AwsAuthorizer, AwsCredential},
    client::{HttpClient, HttpRequestBody},
};
use subrosa_crds::backup::{LockMode, ObjectLock};
use subrosa_worker::backup::restore::WhichRun;

use crate::scene::{ID, Scene, noise, shared, tree};

/// A signed request: its status, and one header of the answer.
pub async fn signed(
    scene: &Scene,
    method: Method,
    path: &str,
    headers: &[(&'static str, &'static str)],
) -> (u16, http::HeaderMap, String) {
    let (key, secret) = scene.s3.credentials();
    let credential = AwsCredential { key_id: key.into(), secret_key: secret.into(), token: None };
    let mut request = Request::builder().method(method).uri(format!("{}/{path}", scene.s3.endpoint().url));
    for (name, value) in headers {
        request = request.header(*name, HeaderValue::from_static(value));
    }
    let mut request = request.body(HttpRequestBody::empty()).unwrap();
    AwsAuthorizer::new(&credential, "s3", subrosa_e2e::s3::REGION).try_authorize(&mut request, None).unwrap();
    let client = HttpClient::new(scene.s3.endpoint().http_client().unwrap());
    let answer = client.execute(request).await.unwrap();
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let pieces: Vec<_> = answer.into_body().bytes_stream().try_collect().await.unwrap();
    (status, headers, String::from_utf8(pieces.concat()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_object_is_locked_and_its_version_is_not_deleted() {
    let scene = shared().await;
    let enabled = [("x-amz-bucket-object-lock-enabled", "true")];
    let (status, _, answer) = signed(scene, Method::PUT, "locked", &enabled).await;
    assert_eq!(status, 200, "{answer}");
    fs::write(scene.volume("locked").join("file"), noise(100_000, 1)).unwrap();
    let mut worker = scene.worker(ID, "locked").await;
    worker.settings.store.lock = Some(ObjectLock { mode: LockMode::Compliance, days: 2 });
    let report = worker.run("locked").await;
    assert_eq!((report.run, &report.reason), (Some(1), &None), "{report:?}");

    let (_, _, versions) = signed(scene, Method::GET, "locked?versions=", &[]).await;
    let (mut names, mut ids) = (between(&versions, "Key"), between(&versions, "VersionId"));
    assert!(names.len() >= 5 && names.len() == ids.len(), "{versions}");
    while let (Some(name), Some(version)) = (names.pop(), ids.pop()) {
        let path = format!("locked/{name}?versionId={version}");
        let (_, headers, _) = signed(scene, Method::HEAD, &path, &[]).await;
        let mode = headers.get("x-amz-object-lock-mode");
        assert_eq!(mode.and_then(|mode| mode.to_str().ok()), Some("COMPLIANCE"), "{name}: {headers:?}");
        let (status, _, answer) = signed(scene, Method::DELETE, &path, &[]).await;
        assert_eq!(status, 403, "{name}: {answer}");
    }
    worker.restore(&scene.at("locked/restored"), WhichRun::Newest).await.unwrap();
    assert_eq!(tree(&scene.at("locked/restored/recordings")), tree(&scene.volume("locked")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_without_lock_is_noticed_at_the_first_object() {
    let scene = shared().await;
    scene.s3.bucket("lockless").unwrap();
    fs::write(scene.volume("lockless").join("file"), noise(1000, 1)).unwrap();
    let mut worker = scene.worker(ID, "lockless").await;
    worker.settings.store.lock = Some(ObjectLock { mode: LockMode::Governance, days: 2 });
    let report = worker.run("lockless").await;
    let reason = report.reason.as_deref();
    assert!(matches!(reason, Some("LockNotKept" | "StoreRefused")) && report.run.is_none(), "{report:?}");
}

/// The texts of all elements of that name, the bucket's own list aside.
pub fn between(text: &str, element: &str) -> Vec<String> {
    let (open, close) = (format!("<{element}>"), format!("</{element}>"));
    let texts = text.split(&open).skip(1).filter_map(|rest| rest.split_once(&close));
    texts.map(|(text, _)| text.to_owned()).collect()
}
