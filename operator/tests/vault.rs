//! The Vault client against stand-ins that misbehave, and the setup as it is printed. What needs a real
//! server is in the crate `subrosa-e2e`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a failed helper fails its test"
)]

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::routing::{any, get};
use serde_json::json;
use subrosa_crds::{
    Reason,
    names::{ChannelId, DataKeyName},
};
use subrosa_records::vault::destroy::DestroyableKeys;
use subrosa_records::vault::kv::Kv;
use subrosa_records::vault::setup::{KubernetesApi, SetupParams, VaultSetup};
use subrosa_records::vault::transit::{Transit, TransitKeyType};
use subrosa_records::vault::{
    MountAccessor, MountPath, RecordPath, RequestObserver, RequestSample, RoleName, TransitKeyName, Vault,
    VaultAddress, VaultConfig,
};

const ROOT: &str = "root-canary-5f0c1d";
const REVIEWER: &str = "reviewer-canary-77ab21";
const SHORT: Duration = Duration::from_secs(1);
/// The deadline where none is meant to pass.
const LONG: Duration = Duration::from_secs(30);

fn transit(vault: &Vault) -> Transit {
    Transit::new(vault.clone(), MountPath::new("transit").unwrap())
}

/// Serves an app on a free port of the loopback interface.
async fn serve(app: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    host
}

fn insecure(host: &str, timeout: Duration) -> Vault {
    let address = VaultAddress::parse(host, true).unwrap();
    let vault = Vault::new(VaultConfig { timeout, ..VaultConfig::new(address) }).unwrap();
    vault.set_token(&ROOT.into()).unwrap();
    vault
}

fn name() -> TransitKeyName {
    TransitKeyName::new("a.b").unwrap()
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    static FOLLOWED: AtomicU32 = AtomicU32::new(0);
    let target = serve(Router::new().fallback(|| async {
        FOLLOWED.fetch_add(1, Ordering::SeqCst);
        "{}"
    }))
    .await;
    for status in [301, 302, 303, 307, 308] {
        let to = target.clone();
        let status = StatusCode::from_u16(status).unwrap();
        let app = Router::new().fallback(move |uri: Uri| {
            let location = format!("{to}{uri}");
            async move { (status, [("location", location)], "") }
        });
        let vault = insecure(&serve(app).await, SHORT);
        let error = transit(&vault).list_keys().await.unwrap_err();
        assert_eq!(error.reason(), Reason::VaultRedirected);
        let error = transit(&vault).create_key(&name(), TransitKeyType::EcdsaP256, None).await.unwrap_err();
        assert_eq!(error.reason(), Reason::VaultRedirected);
    }
    assert_eq!(FOLLOWED.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_hung_server_costs_the_deadline_and_no_more() {
    // Accepts and never answers; and one that begins an answer and never ends it.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = format!("http://{}", silent.local_addr().unwrap());
    let endless = Router::new().fallback(|| async {
        axum::body::Body::from_stream(futures::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            Some((Ok::<_, std::io::Error>(" "), ()))
        }))
    });
    for host in [host, serve(endless).await] {
        let vault = insecure(&host, SHORT);
        let started = Instant::now();
        let error = transit(&vault).list_keys().await.unwrap_err();
        let took = started.elapsed();
        assert_eq!(error.reason(), Reason::VaultTimeout);
        // A second attempt would cost as much again.
        assert!(took >= SHORT && took < SHORT * 2, "{took:?}");
    }
}

#[tokio::test]
async fn waiting_for_a_free_place_counts_towards_the_deadline() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = VaultAddress::parse(&format!("http://{}", silent.local_addr().unwrap()), true).unwrap();
    let config = VaultConfig { timeout: SHORT, concurrency: 1, ..VaultConfig::new(address) };
    let vault = Vault::new(config).unwrap();
    vault.set_token(&ROOT.into()).unwrap();
    let started = Instant::now();
    let transit = transit(&vault);
    let results = futures::future::join_all((0..20).map(|_| transit.list_keys())).await;
    assert!(
        results
            .iter()
            .all(|result| result.as_ref().is_err_and(|error| error.reason() == Reason::VaultTimeout))
    );
    assert!(started.elapsed() < SHORT * 2, "{:?}", started.elapsed());
}

#[tokio::test]
async fn no_more_requests_than_places_are_under_way() {
    #[derive(Default)]
    struct Load {
        now: AtomicU32,
        peak: AtomicU32,
    }
    let load = Arc::new(Load::default());
    let app = Router::new()
        .fallback(|State(load): State<Arc<Load>>| async move {
            let now = load.now.fetch_add(1, Ordering::SeqCst) + 1;
            load.peak.fetch_max(now, Ordering::SeqCst);
            // Nobody leaves before every place is taken; then there is time for one too many to come.
            while load.peak.load(Ordering::SeqCst) < 16 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
            load.now.fetch_sub(1, Ordering::SeqCst);
            r#"{"data":{"keys":[]}}"#
        })
        .with_state(load.clone());
    let vault = insecure(&serve(app).await, LONG);
    let transit = transit(&vault);
    let results = futures::future::join_all((0..100).map(|_| transit.list_keys())).await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(load.peak.load(Ordering::SeqCst), 16);
}

#[test]
fn a_token_that_is_no_header_value_is_an_error_without_it() {
    let address = VaultAddress::parse("https://bao.svc:8200", false).unwrap();
    let ca = rcgen::generate_simple_self_signed(["bao.svc".to_owned()]).unwrap().cert.pem();
    let vault = Vault::new(VaultConfig { ca_bundle: Some(ca), ..VaultConfig::new(address) }).unwrap();
    for token in [
        "",
        " \n",
        "canary\ntoken",
        "canary\r\nX-Evil: 1",
        "canary token",
        "canary\0",
        "canarÿ",
        "canary\u{7f}",
    ] {
        let error = vault.set_token(&token.into()).unwrap_err();
        assert_eq!(error.reason(), Reason::VaultConfigInvalid, "{token:?}");
        assert!(!format!("{error} {error:?}").contains("canar"), "{error:?}");
    }
    assert!(!vault.has_token());
    vault.set_token(&"  s.canary\n".into()).unwrap();
    assert!(vault.has_token() && !format!("{vault:?}").contains("canary"));
}

#[tokio::test]
async fn without_a_token_nothing_is_sent() {
    let vault = insecure("http://127.0.0.1:9", SHORT);
    vault.clear_token();
    assert_eq!(transit(&vault).list_keys().await.unwrap_err().reason(), Reason::VaultTokenRejected);
}

/// A stand-in that fails the first requests and counts them all.
#[derive(Clone)]
struct Flaky {
    failures: u32,
    status: u16,
    body: &'static str,
    /// Whether a failed rotation took effect.
    effective: bool,
    rotations: Arc<AtomicU32>,
    version: Arc<AtomicU32>,
}

impl Flaky {
    fn new(failures: u32, status: u16, body: &'static str, effective: bool) -> Self {
        let (rotations, version) = (Arc::default(), Arc::new(AtomicU32::new(1)));
        Self { failures, status, body, effective, rotations, version }
    }

    async fn vault(&self) -> Vault {
        let app = Router::new()
            .route("/v1/transit/keys/a.b", get(read))
            .route("/v1/transit/keys", any(list))
            .route("/v1/transit/keys/a.b/rotate", any(rotate))
            .route("/v1/subrosa/data/channels/{id}", any(list))
            .with_state(self.clone());
        insecure(&serve(app).await, LONG)
    }

    fn fails(&self) -> Option<(StatusCode, String)> {
        let attempt = self.rotations.fetch_add(1, Ordering::SeqCst);
        (attempt < self.failures).then(|| (StatusCode::from_u16(self.status).unwrap(), self.body.to_owned()))
    }

    fn attempts(&self) -> u32 {
        self.rotations.load(Ordering::SeqCst)
    }
}

async fn read(State(flaky): State<Flaky>) -> String {
    let version = flaky.version.load(Ordering::SeqCst);
    json!({"data": {
        "type": "aes256-gcm96", "latest_version": version, "min_decryption_version": 1, "exportable": false,
        "allow_plaintext_backup": false, "deletion_allowed": false, "keys": {"1": 1},
    }})
    .to_string()
}

async fn list(State(flaky): State<Flaky>, _: Method) -> (StatusCode, String) {
    flaky.fails().unwrap_or_else(|| (StatusCode::OK, r#"{"data":{"keys":[],"version":1}}"#.into()))
}

async fn rotate(State(flaky): State<Flaky>) -> (StatusCode, String) {
    let failure = flaky.fails();
    if failure.is_none() || flaky.effective {
        flaky.version.fetch_add(1, Ordering::SeqCst);
    }
    failure.unwrap_or((StatusCode::NO_CONTENT, String::new()))
}

#[tokio::test]
async fn every_operation_is_observed_once_with_its_outcome() {
    #[derive(Default)]
    struct Seen(Mutex<Vec<(&'static str, &'static str)>>);
    impl RequestObserver for Seen {
        fn observe(&self, sample: RequestSample) {
            self.0.lock().unwrap().push((sample.operation, sample.outcome));
        }
    }
    let seen = Arc::new(Seen::default());
    let app = Router::new().route("/v1/transit/keys", any(|| async { r#"{"data":{"keys":[]}}"# })).route(
        "/v1/transit/keys/a.b",
        get(|| async { (StatusCode::SERVICE_UNAVAILABLE, r#"{"errors":["Vault is sealed"]}"#) }),
    );
    let address = VaultAddress::parse(&serve(app).await, true).unwrap();
    let vault =
        Vault::new(VaultConfig { observer: Some(seen.clone()), ..VaultConfig::new(address) }).unwrap();
    vault.set_token(&ROOT.into()).unwrap();
    transit(&vault).list_keys().await.unwrap();
    transit(&vault).read_key(&name()).await.unwrap_err();
    assert_eq!(*seen.0.lock().unwrap(), [("transit.list", "ok"), ("transit.read", "VaultSealed")]);
}

const UPGRADING: &str = r#"{"errors":["Upgrading from non-versioned to versioned data."]}"#;
const COMMIT: &str = r#"{"errors":["1 error occurred:\n\t* transaction commit failed\n\n"]}"#;

#[tokio::test]
async fn a_rotation_of_unknown_outcome_is_looked_at_before_it_is_tried_again() {
    for (effective, attempts) in [(false, 3), (true, 1)] {
        let flaky = Flaky::new(2, 500, COMMIT, effective);
        let key = transit(&flaky.vault().await).rotate(&name(), 1).await.unwrap();
        assert_eq!(key.latest_version, 2, "one version more, whatever failed");
        assert_eq!(flaky.attempts(), attempts);
    }
    let flaky = Flaky::new(1, 504, "", true);
    let key = transit(&flaky.vault().await).rotate(&name(), 1).await.unwrap();
    assert_eq!((key.latest_version, flaky.attempts()), (2, 1));
    let flaky = Flaky::new(u32::MAX, 500, COMMIT, false);
    assert_eq!(
        transit(&flaky.vault().await).rotate(&name(), 1).await.unwrap_err().reason(),
        Reason::VaultFault
    );
    assert_eq!(flaky.attempts(), 4);
}

#[tokio::test]
async fn requests_are_repeated_only_when_that_is_harmless() {
    for (status, repeated) in [(429, true), (502, true), (503, true), (504, true), (500, false), (400, false)]
    {
        let flaky = Flaky::new(2, status, "", false);
        let listed = transit(&flaky.vault().await).list_keys().await;
        assert_eq!(listed.is_ok(), repeated, "{status}");
        assert_eq!(flaky.attempts(), if repeated { 3 } else { 1 }, "{status}");
    }
    // A record write may have been handled behind a 504, and certainly was not behind a 429.
    for (status, attempts) in [(429, 3), (502, 1), (504, 1)] {
        let flaky = Flaky::new(2, status, "", false);
        let kv = Kv::new(flaky.vault().await, MountPath::new("subrosa").unwrap());
        let path = RecordPath::channel(&ChannelId::mint("uid", "a"));
        let written = kv.write(&path, &json!({}), 0).await;
        assert_eq!(flaky.attempts(), attempts, "{status}");
        assert!(written.is_ok() || written.is_err_and(|error| error.outcome_unknown()));
    }
    // A new key-value mount is not ready for a moment: neither for a write nor for a read.
    let flaky = Flaky::new(2, 400, UPGRADING, false);
    let kv = Kv::new(flaky.vault().await, MountPath::new("subrosa").unwrap());
    let path = RecordPath::channel(&ChannelId::mint("uid", "a"));
    assert_eq!(kv.write(&path, &json!({}), 0).await.unwrap(), 1);
    assert_eq!(flaky.attempts(), 3);
    let flaky = Flaky::new(u32::MAX, 503, "", false);
    assert!(transit(&flaky.vault().await).list_keys().await.is_err());
    assert_eq!(flaky.attempts(), 4, "a few times, then no more");
}

#[tokio::test]
async fn a_vault_without_soft_deletion_is_told_from_one_without_the_key_or_the_mount() {
    // HashiCorp Vault answers a path that its transit engine does not have with the first or the second.
    let cases = [
        (404, r#"{"errors":["1 error occurred:\n\t* unsupported path\n\n"]}"#, Reason::SoftDeleteUnsupported),
        (
            405,
            r#"{"errors":["1 error occurred:\n\t* unsupported operation\n\n"]}"#,
            Reason::SoftDeleteUnsupported,
        ),
        (
            404,
            r#"{"errors":["no handler for route \"transit/keys/a\". route entry not found."]}"#,
            Reason::VaultNotFound,
        ),
        (403, r#"{"errors":["permission denied"]}"#, Reason::VaultPermissionDenied),
        (204, "", Reason::VaultAnswerUnexpected),
    ];
    let name: DataKeyName = "abcdefghijklmnop.chat.2026".parse().unwrap();
    for (status, body, reason) in cases {
        let answer = (StatusCode::from_u16(status).unwrap(), body);
        let key = "/v1/transit/keys/abcdefghijklmnop.chat.2026";
        let app = Router::new()
            .route(key, get(|| async { KEY_IN_USE }))
            .route(&format!("{key}/{{*rest}}"), any(move || async move { answer }))
            .route("/v1/auth/token/lookup-self", get(|| async { "{}" }));
        let keys =
            DestroyableKeys::new(insecure(&serve(app).await, LONG), MountPath::new("transit").unwrap());
        let error = keys.soft_delete(&name).await.unwrap_err();
        assert_eq!(error.reason(), reason, "{status} {body}: {error}");
        if reason == Reason::SoftDeleteUnsupported {
            assert!(error.next_step().contains("mode: Report"), "{}", error.next_step());
            assert_eq!(keys.restore(&name).await.unwrap_err().reason(), reason);
        }
    }
}

const KEY_IN_USE: &str = r#"{"data":{"type":"aes256-gcm96","latest_version":1,"min_decryption_version":1,
    "exportable":false,"allow_plaintext_backup":false,"deletion_allowed":false,"keys":{"1":1}}}"#;

fn plain_params() -> SetupParams {
    SetupParams {
        kubernetes_mount: MountPath::new("kubernetes").unwrap(),
        transit_mount: MountPath::new("transit").unwrap(),
        authorities_mount: MountPath::new("transit-ca").unwrap(),
        kv_mount: MountPath::new("subrosa").unwrap(),
        operator_role: RoleName::new("subrosa").unwrap(),
        operator_namespace: "subrosa-system".into(),
        operator_service_account: "subrosa".into(),
        destroyer_service_account: "subrosa-destroyer".into(),
        shared_transit: false,
        audience: "vault".into(),
        trust_domain: "oosterlinde".into(),
        kubernetes: KubernetesApi::default(),
        people: None,
    }
}

#[test]
fn what_is_printed_is_readable_and_holds_no_secret() {
    let mut params = plain_params();
    params.kubernetes.ca_pem =
        Some("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n".to_owned());
    params.kubernetes.reviewer_jwt = Some(REVIEWER.into());
    let setup = VaultSetup::new(&params).unwrap();
    let printed = setup.print(None).unwrap();
    assert!(!printed.contains(REVIEWER) && !format!("{setup:?} {params:?}").contains(REVIEWER));
    insta::assert_snapshot!("vault_setup", printed);

    let accessor = MountAccessor::new("auth_kubernetes_1234abcd").unwrap();
    let printed = setup.print(Some(&accessor)).unwrap();
    assert!(printed.contains("identity.entity.aliases.auth_kubernetes_1234abcd.custom_metadata.subrosa}}.*"));
    assert!(!printed.contains("<accessor"), "{printed}");
}

#[test]
fn parameters_that_would_bind_a_role_too_widely_are_refused() {
    let refused = |change: fn(&mut SetupParams)| {
        let mut params = plain_params();
        change(&mut params);
        VaultSetup::new(&params).expect_err("accepted").reason()
    };
    assert!(VaultSetup::new(&plain_params()).is_ok());
    for change in [
        (|params| params.operator_namespace = "*".into()) as fn(&mut SetupParams),
        |params| params.operator_namespace = String::new(),
        |params| params.operator_service_account = "*".into(),
        |params| params.trust_domain = String::new(),
        |params| params.trust_domain = "a\"}}".into(),
        |params| params.audience = String::new(),
        |params| params.kv_mount = params.transit_mount.clone(),
        |params| params.operator_role = RoleName::new("subrosa-workload").unwrap(),
        |params| params.operator_role = RoleName::new("subrosa-destroyer").unwrap(),
        |params| params.destroyer_service_account = "*".into(),
        |params| params.destroyer_service_account = String::new(),
        |params| params.destroyer_service_account = params.operator_service_account.clone(),
        |params| params.kubernetes.host = "kubernetes".into(),
    ] {
        assert_eq!(refused(change), Reason::VaultConfigInvalid);
    }
}
