//! OpenBao with the static setup, an S3 server, and workers that are who their aliases say.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use subrosa_crds::{
    backup::{BackupReport, BackupSettings, BackupStore, ObjectLock, WINDOW},
    cohort::Cohort,
    names::{ChannelId, ChannelRef},
    sealing::SealingVault,
};
use subrosa_e2e::{
    directory::WorkDirectory,
    kubeconfig::install_crypto_provider,
    openbao::{OpenBao, Storage},
    pki::Authority,
    s3::{REGION, S3Server},
    tools,
};
use subrosa_records::vault::{
    MountPath, RoleName, Vault, VaultAddress, VaultConfig,
    backup::BackupKeys,
    setup::{KubernetesApi, SetupParams, VaultSetup, apply::apply},
};
use subrosa_worker::{
    backup::{
        problem::BackupError,
        progress::BytesDone,
        restore::{RestoreReport, RestoreRequest, WhichRun, restore},
        run::{RunOptions, run},
        settings::{StoreCredentials, connect},
        store::Bucket,
    },
    session::LoginAs,
};

pub const ID: &str = "aaaaaaaaaaaaaaaa";
/// Begins like the id of keys for backups of the other.
pub const OTHER: &str = "aaaaaaaaaaaaaaab";

/// All servers, and the volumes of one Channel.
pub struct Scene {
    pub bao: OpenBao,
    pub s3: S3Server,
    http: reqwest::Client,
    directory: WorkDirectory,
}

impl Scene {
    pub async fn start() -> Self {
        install_crypto_provider();
        let program = tokio::task::spawn_blocking(tools::bao).await.unwrap().unwrap();
        let directory = WorkDirectory::create().unwrap();
        let servers = Authority::new("subrosa backup tests").unwrap();
        let bao = OpenBao::start(&program, directory.path(), &servers, Storage::InMemory).await.unwrap();
        let s3 = S3Server::start(directory.path(), &servers).await.unwrap();
        let http = bao.endpoint().http_client().unwrap();
        let scene = Self { bao, s3, http, directory };
        apply(&scene.vault(scene.bao.root_token()), &VaultSetup::new(&scene.params()).unwrap())
            .await
            .unwrap();
        scene.admin("POST", "sys/auth/userpass", json!({"type": "userpass"})).await;
        for id in [ID, OTHER] {
            for window in windows() {
                scene.make_key(&format!("{id}b.subrosa-backup.{window}")).await;
            }
            scene.make_key(&format!("{id}.call-recording.2026m12")).await;
        }
        scene
    }

    async fn make_key(&self, name: &str) {
        self.admin("POST", &format!("transit/keys/{name}"), json!({"type": "aes256-gcm96"})).await;
    }

    fn params(&self) -> SetupParams {
        let mount = |path: &str| MountPath::new(path).unwrap();
        SetupParams {
            kubernetes_mount: mount("kubernetes"),
            transit_mount: mount("transit"),
            authorities_mount: mount("transit-ca"),
            kv_mount: mount("subrosa"),
            operator_role: RoleName::new("subrosa").unwrap(),
            operator_namespace: "subrosa-system".into(),
            operator_service_account: "subrosa".into(),
            destroyer_service_account: "subrosa-destroyer".into(),
            shared_transit: false,
            audience: "vault".into(),
            trust_domain: "oosterlinde".into(),
            // It is never asked.
            kubernetes: KubernetesApi {
                host: "https://kubernetes.invalid".into(),
                ca_pem: Some(self.bao.endpoint().ca_pem.clone()),
                reviewer_jwt: Some("reviewer".into()),
            },
            people: None,
        }
    }

    fn vault(&self, token: &str) -> Vault {
        let address = VaultAddress::parse(self.bao.url(), false).unwrap();
        let ca_bundle = Some(self.bao.endpoint().ca_pem.clone());
        let vault = Vault::new(VaultConfig { ca_bundle, ..VaultConfig::new(address) }).unwrap();
        vault.set_token(&token.into()).unwrap();
        vault
    }

    /// A request with that token: status and answer.
    pub async fn raw(&self, token: &str, method: &str, path: &str, body: Value) -> (u16, Value) {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let request = self.http.request(method, format!("{}/v1/{path}", self.bao.url()));
        let mut request = request.header("X-Vault-Token", token);
        if !body.is_null() {
            request = request.body(body.to_string());
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or(Value::Null))
    }

    pub async fn admin(&self, method: &str, path: &str, body: Value) -> Value {
        let (status, answer) = self.raw(self.bao.root_token(), method, path, body).await;
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }

    /// A token of somebody with the workloads' policy, whose alias on the Kubernetes mount says this. The login itself is
    /// by password, since no API server is here; the policy looks at the alias alone.
    pub async fn token(&self, name: &str, metadata: Value) -> String {
        let mounts = self.admin("GET", "sys/auth", Value::Null).await;
        let accessor = |mount: &str| mounts["data"][mount]["accessor"].as_str().unwrap().to_owned();
        let entity = json!({"name": name, "policies": ["subrosa-workload"]});
        let entity = self.admin("POST", "identity/entity", entity).await["data"]["id"].clone();
        for (mount, metadata) in [("kubernetes/", metadata), ("userpass/", json!({}))] {
            let alias = json!({
                "name": name, "canonical_id": entity, "mount_accessor": accessor(mount), "custom_metadata": metadata,
            });
            self.admin("POST", "identity/entity-alias", alias).await;
        }
        let user = json!({"password": "pw", "token_no_default_policy": true});
        self.admin("POST", &format!("auth/userpass/users/{name}"), user).await;
        let login = format!("auth/userpass/login/{name}");
        let answer = self.admin("POST", &login, json!({"password": "pw"})).await;
        answer["auth"]["client_token"].as_str().unwrap().to_owned()
    }

    /// The worker of a Channel.
    pub async fn worker(&self, id: &str, bucket: &str) -> Worker<'_> {
        let token = self.token(&format!("worker-{id}-{bucket}"), json!({"subrosa_backup": id})).await;
        let (key, secret) = self.s3.credentials();
        let credentials =
            StoreCredentials { access_key_id: key.into(), secret_access_key: secret.to_owned().into() };
        let settings = self.settings(id, bucket, None);
        Worker { scene: self, token, settings, credentials }
    }

    pub fn settings(&self, id: &str, bucket: &str, lock: Option<ObjectLock>) -> BackupSettings {
        BackupSettings {
            channel: ChannelRef::new("cc-front", "voice"),
            id: id.parse::<ChannelId>().unwrap(),
            vault: SealingVault {
                address: self.bao.url().into(),
                allow_insecure: false,
                ca_bundle: Some(self.bao.endpoint().ca_pem.clone()),
                transit: "transit".into(),
                auth: "kubernetes".into(),
                role: "subrosa-workload".into(),
                audience: "vault".into(),
            },
            time_zone: "Europe/Amsterdam".into(),
            store: BackupStore {
                endpoint: self.s3.endpoint().url.clone(),
                allow_insecure: false,
                ca_bundle: Some(self.s3.endpoint().ca_pem.clone()),
                region: REGION.into(),
                bucket: bucket.into(),
                id: None,
                lock,
            },
            volumes: vec!["recordings".into()],
            databases: Vec::new(),
            at_least: 0,
            destroyed: Vec::new(),
        }
    }

    /// A directory of this test.
    pub fn at(&self, place: &str) -> PathBuf {
        self.directory.path().join(place)
    }

    /// The volume of a test, made.
    pub fn volume(&self, test: &str) -> PathBuf {
        let volume = self.at(test).join("volumes/recordings");
        fs::create_dir_all(&volume).unwrap();
        volume
    }
}

/// The windows of today and tomorrow, since a month may end while tests run.
pub fn windows() -> [Cohort; 2] {
    let now = Cohort::current(jiff::Timestamp::now(), &jiff::tz::TimeZone::UTC, WINDOW);
    [now, now.next().unwrap()]
}

/// A worker with what it was given.
pub struct Worker<'a> {
    scene: &'a Scene,
    pub token: String,
    pub settings: BackupSettings,
    pub credentials: StoreCredentials,
}

impl Worker<'_> {
    pub fn store(&self) -> Result<Bucket, BackupError> {
        Bucket::open(&self.settings.store, Some(&self.credentials))
    }

    pub async fn keys(&self) -> BackupKeys {
        let login = LoginAs::Token(self.token.as_str().into());
        let (keys, session) = connect(&self.settings, &login).unwrap();
        session.login().await.unwrap();
        keys
    }

    pub async fn run(&self, test: &str) -> BackupReport {
        let volumes = self.scene.at(test).join("volumes");
        let dumps = volumes.with_file_name("dumps");
        let options = RunOptions { volumes, dumps, mounted: false, allow_shrink: false, at_least: 0 };
        let keys = self.keys().await;
        run(&self.store().unwrap(), &keys, &self.settings, &options, &BytesDone::default()).await
    }

    pub async fn restore(&self, to: &Path, which: WhichRun) -> Result<RestoreReport, BackupError> {
        let request =
            RestoreRequest { run: which, volume: None, to: to.to_owned(), overwrite: false, at_least: 1 };
        let keys = self.keys().await;
        restore(&self.store()?, &keys, &self.settings, &request, &BytesDone::default()).await
    }
}

/// Bytes that do not repeat.
pub fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

/// What a tree is: of each path its mode, owner, time, content, and which paths are one file.
pub fn tree(directory: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut first = BTreeMap::new();
    let mut places = vec![directory.to_owned()];
    while let Some(place) = places.pop() {
        let mut paths: Vec<_> = fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        for path in paths {
            let metadata = path.symlink_metadata().unwrap();
            let name = path.strip_prefix(directory).unwrap().to_owned();
            let content = if metadata.is_symlink() {
                fs::read_link(&path).unwrap().display().to_string()
            } else if metadata.is_dir() {
                places.push(path.clone());
                String::new()
            } else {
                let first = first.entry(metadata.ino()).or_insert_with(|| name.clone());
                format!("{} {}", first.display(), STANDARD.encode(Sha256::digest(fs::read(&path).unwrap())))
            };
            let time = (metadata.mtime(), metadata.mtime_nsec());
            let of = (metadata.mode(), metadata.uid(), metadata.gid(), metadata.len());
            // Links have no time that all systems give back.
            let time = if metadata.is_symlink() { (0, 0) } else { time };
            found.insert(name, format!("{of:?} {time:?} {content}"));
        }
    }
    found
}

/// One scene for tests that do not change the servers.
pub async fn shared() -> &'static Scene {
    static SCENE: tokio::sync::OnceCell<Scene> = tokio::sync::OnceCell::const_new();
    SCENE.get_or_init(Scene::start).await
}

/// The bytes of a canary that must never be in the store.
pub static CANARY: LazyLock<Vec<u8>> = LazyLock::new(|| noise(64, 99));
