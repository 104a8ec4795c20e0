//! The harness keeps its promises: real servers, real logins, real audit logs, and nothing left behind.

#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

use std::{
    ffi::OsStr,
    io::{BufRead as _, BufReader, Read as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::{
    authentication::v1::SelfSubjectReview,
    core::v1::{ConfigMap, Namespace},
};
use kube::{
    Api, Client,
    api::{DeleteParams, PostParams, WatchEvent, WatchParams},
};
use serde_json::json;
use subrosa_e2e::{
    Environment, Mode, Tap,
    audit::{ApiAuditEntry, BaoAuditEntry},
    directory::WorkDirectory,
    kubeconfig::load,
};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(90);

fn alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

async fn eventually<F: Future<Output = bool>>(what: &str, mut probe: impl FnMut() -> F) {
    let deadline = Instant::now() + PATIENCE;
    while !probe().await {
        assert!(Instant::now() < deadline, "{what} did not happen in {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn whoami(client: Client) -> Result<String> {
    let reviews: Api<SelfSubjectReview> = Api::all(client);
    let review = reviews.create(&PostParams::default(), &SelfSubjectReview::default()).await?;
    let user = review.status.and_then(|status| status.user_info);
    user.and_then(|user| user.username).context("a user name")
}

/// The next event of a watch that is more than a sign of life.
async fn next_event<S>(watch: &mut S) -> Result<Option<WatchEvent<ConfigMap>>>
where
    S: Stream<Item = kube::Result<WatchEvent<ConfigMap>>> + Unpin,
{
    loop {
        match timeout(PATIENCE, watch.try_next()).await?? {
            Some(WatchEvent::Bookmark(_)) => {}
            event => return Ok(event),
        }
    }
}

fn config_map(name: &str) -> ConfigMap {
    serde_json::from_value(json!({ "metadata": { "name": name } })).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_account_logs_in_and_both_audit_logs_show_it() -> Result<()> {
    let began = Instant::now();
    let env = tokio::spawn(Environment::builder().local().user("alice", &["compliance"]).start()).await??;
    eprintln!("started in {:?}", began.elapsed());
    let (client, bao) = (env.admin()?, env.openbao());

    let began = Instant::now();
    env.create_namespace("team-a", &[]).await?;
    eprintln!("default ServiceAccount after {:?}", began.elapsed());

    // A real login: OpenBao asks the API server who the token belongs to.
    env.enable_kubernetes_auth("kubernetes").await?;
    bao.request(
        "PUT",
        "sys/policies/acl/seal",
        Some(json!({ "policy": "path \"sys/mounts\" { capabilities = [\"read\"] }" })),
    )
    .await?;
    let role = json!({
        "bound_service_account_names": "default",
        "bound_service_account_namespaces": "team-a",
        "audience": "openbao",
        "token_policies": "seal",
    });
    bao.request("POST", "auth/kubernetes/role/team-a", Some(role)).await?;
    let wrong_audience = env.service_account_token("team-a", "default", "").await?;
    let refused = bao.kubernetes_login("kubernetes", "team-a", &wrong_audience).await;
    assert!(refused.is_err(), "a token for another audience must not log in");
    let mark = bao.audit().mark();
    let jwt = env.service_account_token("team-a", "default", "openbao").await?;
    let token = bao.kubernetes_login("kubernetes", "team-a", &jwt).await?;
    let (allowed, _) = bao.request_as(&token, "GET", "sys/mounts", None).await?;
    let (forbidden, _) = bao.request_as(&token, "GET", "sys/policies/acl/seal", None).await?;
    assert_eq!((allowed, forbidden), (200, 403));

    let reviews = |entry: &ApiAuditEntry| {
        entry.resource() == "tokenreviews"
            && entry.user.username == "system:serviceaccount:openbao:token-reviewer"
    };
    eventually("the review in the API server's audit log", || async {
        env.audit_entries().unwrap().iter().any(reviews)
    })
    .await;
    let logged: Vec<BaoAuditEntry> = bao.audit().entries_since(mark)?;
    assert!(logged.iter().any(|entry| entry.is_write() && entry.request.path == "auth/kubernetes/login"));
    assert!(logged.iter().any(|entry| entry.auth.display_name == "kubernetes-team-a-default"));
    assert!(bao.audit_log()?.len() > logged.len());

    // Users: by token, and by impersonation.
    for client in [env.client_for_token(env.user_token("alice")?)?, env.client_as("alice", &["compliance"])?]
    {
        assert_eq!(whoami(client).await?, "alice");
    }
    let kubeconfig = env.kubeconfig_for_token("alice", env.user_token("alice")?)?;
    let kubectl = tokio::task::spawn_blocking(subrosa_e2e::tools::kubectl).await??;
    let output =
        Command::new(kubectl).arg("--kubeconfig").arg(kubeconfig).args(["auth", "whoami"]).output()?;
    assert!(String::from_utf8_lossy(&output.stdout).contains("alice"), "{output:?}");

    // A namespace with content ends, so deletion and garbage collection work.
    let began = Instant::now();
    let namespaces: Api<Namespace> = Api::all(client.clone());
    namespaces.delete("team-a", &DeleteParams::default()).await?;
    eventually("the namespace's end", || async { namespaces.get_opt("team-a").await.unwrap().is_none() })
        .await;
    eprintln!("namespace gone after {:?}", began.elapsed());

    let (pids, directory) = (env.pids(), env.directory().to_owned());
    assert_eq!(pids.len(), 4, "{pids:?}");
    assert!(pids.values().all(|pid| alive(*pid)) && directory.exists());
    let began = Instant::now();
    drop(env);
    eprintln!("ended in {:?}", began.elapsed());
    assert!(!pids.values().any(|pid| alive(*pid)), "left behind: {pids:?}");
    assert!(!directory.exists());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn openbao_seals_restarts_and_keeps_its_data() -> Result<()> {
    let env = Environment::builder().local().start().await?;
    let bao = env.openbao();
    bao.request("POST", "sys/mounts/transit", Some(json!({ "type": "transit" }))).await?;
    bao.request("POST", "transit/keys/k", None).await?;

    bao.seal().await?;
    let (status, _) = bao.request_as(bao.root_token(), "GET", "transit/keys/k", None).await?;
    assert_eq!(status, 503);
    bao.unseal().await?;
    bao.request("GET", "transit/keys/k", None).await?;

    let (url, pid) = (bao.url().to_owned(), bao.pid());
    bao.kill();
    assert!(bao.request("GET", "transit/keys/k", None).await.is_err());
    bao.start_sealed().await?;
    bao.unseal().await?;
    bao.request("GET", "transit/keys/k", None).await?;
    bao.restart().await?;
    assert_eq!(url, bao.url());
    assert_ne!(pid, bao.pid());
    bao.request("GET", "transit/keys/k", None).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_counts_cuts_and_goes_dark() -> Result<()> {
    let env = Environment::builder().local().start().await?;
    env.create_namespace("team-a", &[("tier", "test")]).await?;
    let tap = Tap::new();
    let (api, vault) = (env.proxy_api(&tap).await?, env.proxy_openbao(&tap).await?);
    let token = env.control_plane().context("local")?.admin_token();
    let config = kube::Config::from_custom_kubeconfig(
        kube::config::Kubeconfig::read_from(env.kubeconfig_through(api.endpoint(), "through", token)?)?,
        &kube::config::KubeConfigOptions::default(),
    )
    .await?;
    let maps: Api<ConfigMap> = Api::namespaced(Client::try_from(config)?, "team-a");
    let direct: Api<ConfigMap> = Api::namespaced(env.admin()?, "team-a");
    let create = |name: &'static str| {
        let maps = maps.clone();
        async move { maps.create(&PostParams::default(), &config_map(name)).await }
    };

    // A watch streams: the event comes while the response is still open.
    let mut watch = maps.watch(&WatchParams::default().fields("metadata.name=one"), "0").await?.boxed();
    create("one").await?;
    let event = next_event(&mut watch).await?;
    assert!(matches!(event, Some(WatchEvent::Added(_))), "{event:?}");

    // Reads and refused writes do not count; both proxies count together, in order.
    maps.get("one").await?;
    assert!(create("one").await.is_err());
    let http = vault.endpoint().http_client()?;
    let mount = http.post(format!("{}/v1/sys/mounts/transit", vault.endpoint().url));
    let mount = mount.header("X-Vault-Token", env.openbao().root_token()).json(&json!({ "type": "transit" }));
    assert!(mount.send().await?.status().is_success());
    let paths: Vec<String> = tap.writes().into_iter().map(|write| write.path).collect();
    assert_eq!(paths, ["/api/v1/namespaces/team-a/configmaps", "/v1/sys/mounts/transit"]);

    // The callback runs before the client has its answer.
    tap.reset();
    let answered = Arc::new(AtomicBool::new(false));
    let (seen, (sender, receiver)) = (Arc::clone(&answered), std::sync::mpsc::channel());
    tap.after_write(1, move |_| sender.send(seen.load(Ordering::SeqCst)).unwrap());
    create("two").await?;
    answered.store(true, Ordering::SeqCst);
    assert!(!receiver.recv()?);

    // Cut after the second write: it happened, nobody was told, and the other server is dark too.
    tap.count_only(|write| write.path.ends_with("/configmaps"));
    let cut = tap.cut_after_write(2, Mode::Refuse);
    create("three").await?;
    assert!(create("four").await.is_err(), "the answer was relayed");
    assert_eq!(timeout(PATIENCE, cut).await??.status, 201);
    assert!(direct.get_opt("four").await?.is_some());
    assert!(create("five").await.is_err());
    assert!(http.get(format!("{}/v1/sys/health", vault.endpoint().url)).send().await.is_err());
    assert!(direct.get_opt("five").await?.is_none());
    // The old watch did not survive.
    assert!(!matches!(next_event(&mut watch).await, Ok(Some(WatchEvent::Added(_)))));
    tap.set_mode(Mode::Pass);
    create("five").await?;

    // Hanging: nothing moves, neither requests nor events, and all goes on afterwards.
    let mut watch = maps.watch(&WatchParams::default().fields("metadata.name=six"), "0").await?.boxed();
    // Something has arrived, so the watch is on and not merely on its way.
    assert!(timeout(PATIENCE, watch.try_next()).await??.is_some());
    tap.set_mode(Mode::Hang);
    direct.create(&PostParams::default(), &config_map("six")).await?;
    assert!(timeout(Duration::from_secs(1), maps.get("one")).await.is_err());
    assert!(timeout(Duration::from_secs(1), watch.try_next()).await.is_err());
    tap.set_mode(Mode::Pass);
    assert!(matches!(next_event(&mut watch).await?, Some(WatchEvent::Added(_))));
    maps.get("one").await?;
    Ok(())
}

/// What the tests below run in a process of its own: uses an environment, says what it is, and stays if asked to.
#[tokio::test]
#[ignore = "started by other tests"]
async fn use_an_environment() -> Result<()> {
    let env = Environment::start().await?;
    env.create_namespace("team-a", &[]).await?;
    env.enable_kubernetes_auth("kubernetes").await?;
    let role =
        json!({ "bound_service_account_names": "default", "bound_service_account_namespaces": "team-a" });
    env.openbao().request("POST", "auth/kubernetes/role/team-a", Some(role)).await?;
    let jwt = env.service_account_token("team-a", "default", "").await?;
    env.openbao().kubernetes_login("kubernetes", "team-a", &jwt).await?;
    let kubeconfig = env.kubeconfig_for_token("team-a", &jwt)?;
    let (config, _) = load(&std::fs::read_to_string(kubeconfig)?).await?;
    let who = whoami(Client::try_from(config)?).await?;
    let pids: Vec<String> = env.pids().into_values().map(|pid| pid.to_string()).collect();
    println!("\nusing {} {} {who} {}", env.api().url, env.directory().display(), pids.join(" "));
    if std::env::var_os("SUBROSA_E2E_TEST_STAY").is_some() {
        std::future::pending::<()>().await;
    }
    Ok(())
}

/// The beginning of a start, which the next test runs in a process of its own.
#[test]
#[ignore = "started by another test"]
fn make_a_directory() -> Result<()> {
    WorkDirectory::create().map(drop)
}

/// What `use_an_environment` said: URL, directory, user, process ids.
struct Used {
    url: String,
    directory: PathBuf,
    user: String,
    pids: Vec<u32>,
    process: Child,
}

fn start_using(environment: &[(&str, &OsStr)]) -> Result<Used> {
    let mut process = Command::new(std::env::current_exe()?)
        .args(["--ignored", "--exact", "use_an_environment", "--nocapture"])
        .env_remove("SUBROSA_E2E_KUBECONFIG")
        .envs(environment.iter().copied())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut output = BufReader::new(process.stdout.take().context("its output")?);
    let mut seen = String::new();
    loop {
        let mut line = String::new();
        ensure!(output.read_line(&mut line)? > 0, "it failed: {seen}");
        if let Some(used) = line.strip_prefix("using ") {
            // The rest is drained, so that it can go on writing.
            std::thread::spawn(move || output.read_to_string(&mut seen));
            let mut words = used.split_whitespace().map(str::to_owned);
            let mut word = || words.next().context("one word more");
            let (url, directory, user) = (word()?, word()?.into(), word()?);
            let pids = words.map(|pid| pid.parse()).collect::<Result<_, _>>()?;
            return Ok(Used { url, directory, user, pids, process });
        }
        seen.push_str(&line);
    }
}

#[tokio::test]
async fn killing_the_harness_leaves_no_process() -> Result<()> {
    if !subrosa_e2e::process::dies_with_parent() {
        eprintln!("skipped: no setpriv here, so a killed harness cannot take its servers along");
        return Ok(());
    }
    // A place of its own for temporary files: the other tests sweep theirs whenever they start something.
    let room = tempfile::tempdir()?;
    let place = ("TMPDIR", room.path().as_os_str());
    let mut used = start_using(&[("SUBROSA_E2E_TEST_STAY", OsStr::new("1")), place])?;
    assert!(used.directory.starts_with(room.path()), "{:?}", used.directory);
    assert!(used.pids.len() == 4 && used.pids.iter().all(|pid| alive(*pid)), "{:?}", used.pids);
    used.process.kill()?;
    used.process.wait()?;
    eventually("the servers' end", || async { !used.pids.iter().any(|pid| alive(*pid)) }).await;
    assert!(used.directory.exists(), "nobody was left to remove it");
    let next = Command::new(std::env::current_exe()?)
        .args(["--ignored", "--exact", "make_a_directory"])
        .envs([place])
        .stdout(Stdio::null())
        .status()?;
    assert!(next.success() && !used.directory.exists(), "the next start sweeps it: {next}");
    Ok(())
}

#[tokio::test]
async fn a_cluster_of_ones_own_comes_before_all_others() -> Result<()> {
    let own = Environment::builder().local().start().await?;
    let kubeconfig = own.admin_kubeconfig()?;
    let mut used = start_using(&[("SUBROSA_E2E_KUBECONFIG", kubeconfig.as_os_str())])?;
    assert!(used.process.wait()?.success());
    assert_eq!((used.url.as_str(), used.pids.len()), (own.api().url.as_str(), 1), "only OpenBao was started");
    assert_eq!(used.user, "system:serviceaccount:team-a:default");
    Ok(())
}

#[tokio::test]
async fn kubebuilder_assets_come_before_a_build() -> Result<()> {
    let assets = tempfile::tempdir()?;
    let cluster = tokio::task::spawn_blocking(subrosa_e2e::tools::cluster).await??;
    for component in ["etcd", "kube-apiserver"] {
        let script = assets.path().join(component);
        let ran = assets.path().join(format!("{component}.ran"));
        std::fs::write(
            &script,
            format!(
                "#!/bin/sh\ntouch '{}'\nexec '{}' {component} \"$@\"\n",
                ran.display(),
                cluster.display()
            ),
        )?;
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))?;
    }
    let mut used = start_using(&[("KUBEBUILDER_ASSETS", assets.path().as_os_str())])?;
    assert!(used.process.wait()?.success());
    assert_eq!((used.user.as_str(), used.pids.len()), ("system:serviceaccount:team-a:default", 4));
    assert!(assets.path().join("etcd.ran").exists() && assets.path().join("kube-apiserver.ran").exists());
    Ok(())
}
