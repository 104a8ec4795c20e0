//! The store refuses, fails and is full, and what is told of it; and settings for a worker of its own process.

use std::{fs, path::Path};

use secrecy::ExposeSecret as _;
use subrosa_crds::backup::BackupReport;
use subrosa_worker::{
    backup::{
        progress::BytesDone,
        run::{RunOptions, run},
        settings,
        store::Bucket,
    },
    session::LoginAs,
};

use crate::scene::{ID, Worker, noise, shared};

/// Writes what a process of its own needs.
pub fn write_settings(worker: &Worker<'_>, directory: &Path) {
    let credentials = directory.join("credentials");
    fs::create_dir_all(&credentials).unwrap();
    fs::write(directory.join("backup.yaml"), worker.settings.to_yaml().unwrap()).unwrap();
    fs::write(directory.join("token"), &worker.token).unwrap();
    fs::write(credentials.join(settings::ACCESS_KEY_ID), &worker.credentials.access_key_id).unwrap();
    let secret = worker.credentials.secret_access_key.expose_secret();
    fs::write(credentials.join(settings::SECRET_ACCESS_KEY), secret).unwrap();
}

/// A run by files.
pub async fn run_by_settings(directory: &Path) -> BackupReport {
    subrosa_e2e::kubeconfig::install_crypto_provider();
    let told = settings::load(&directory.join("backup.yaml")).unwrap();
    let credentials = settings::credentials(&directory.join("credentials")).unwrap();
    let store = Bucket::open(&told.store, Some(&credentials)).unwrap();
    let token = fs::read_to_string(directory.join("token")).unwrap();
    let (keys, session) = settings::connect(&told, &LoginAs::Token(token.into())).unwrap();
    session.login().await.unwrap();
    let volumes = directory.join("volumes");
    let dumps = volumes.with_file_name("dumps");
    let options = RunOptions { volumes, dumps, mounted: false, allow_shrink: false, at_least: 0 };
    run(&store, &keys, &told, &options, &BytesDone::default()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_refuses_is_told_by_one_word_and_without_secrets() {
    let scene = shared().await;
    scene.s3.bucket("refusing").unwrap();
    fs::write(scene.volume("refusing").join("file"), noise(1000, 1)).unwrap();
    let mut worker = scene.worker(ID, "refusing").await;
    let secret = "hunter2hunter2";
    let right = std::mem::replace(&mut worker.credentials.secret_access_key, secret.to_owned().into());
    let report = worker.run("refusing").await;
    assert_eq!(report.reason.as_deref(), Some("CredentialsRefused"), "{report:?}");
    assert!(!format!("{report:?}").contains(secret), "{report:?}");
    worker.credentials.secret_access_key = right;

    worker.settings.store.bucket = "not-there".into();
    let report = worker.run("refusing").await;
    assert_eq!(report.reason.as_deref(), Some("StoreRefused"), "{report:?}");
    worker.settings.store.bucket = "refusing".into();

    let authority = subrosa_e2e::pki::Authority::new("another").unwrap();
    let right = worker.settings.store.ca_bundle.replace(authority.certificate_pem().to_owned());
    let report = worker.run("refusing").await;
    assert_eq!(report.reason.as_deref(), Some("StoreUnreachable"), "{report:?}");
    worker.settings.store.ca_bundle = right;
    assert_eq!(worker.run("refusing").await.reason, None);
}
