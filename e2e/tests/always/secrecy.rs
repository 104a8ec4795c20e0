//! No secret leaves its place: a whole run at the highest log level, with everything going wrong that can,
//! is searched for every secret that was in it.

use std::{collections::BTreeMap, process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use subrosa::grants::manifests;
use subrosa_e2e::{
    Operator,
    installation::{apply_object, governed_namespace},
    operator::Options,
    wait,
};
use subrosa_records::vault::setup::OPERATOR_POLICY;

use crate::{
    canary::{Canary, ENCODINGS, Search},
    cluster::{Cluster, DOMAIN, PATIENCE},
    scenario::Scenario,
};

/// A trust domain whose token stands in a Secret, as for development.
const DEVELOPMENT: &str = "development";

/// A run, what was secret in it, and what it left behind.
struct Run {
    cluster: Cluster,
    canaries: Vec<Canary>,
    places: BTreeMap<String, String>,
}

impl Run {
    fn secret(&mut self, name: &str, text: &str) {
        if !self.canaries.iter().any(|canary| canary.text == text) {
            self.canaries.push(Canary::new(name, text));
        }
    }

    fn place(&mut self, name: impl Into<String>, text: impl Into<String>) {
        self.places.entry(name.into()).or_default().push_str(&text.into());
    }

    /// Every private key there is now.
    async fn note_private_keys(&mut self) -> Result<()> {
        let ours = ListParams::default().labels("app.kubernetes.io/managed-by=subrosa");
        for secret in Api::<Secret>::all(self.cluster.admin.clone()).list(&ours).await? {
            if let Some(key) = secret.data.as_ref().and_then(|data| data.get("tls.key")) {
                let name = format!("{:?}'s private key", secret.metadata.name.unwrap_or_default());
                let text = String::from_utf8_lossy(&key.0).into_owned();
                if text.contains("PRIVATE KEY") {
                    self.secret(&name, &text);
                }
            }
        }
        Ok(())
    }

    async fn operator(&self) -> Result<Operator> {
        Operator::start_with(&self.cluster.installed, Options { log: "trace", ..self.cluster.options() })
            .await
    }

    /// What a running operator shows of itself.
    async fn look_at(&mut self, operator: &Operator) -> Result<()> {
        let process = format!("/proc/{}", operator.pid());
        for file in ["cmdline", "environ", "comm"] {
            let text = String::from_utf8_lossy(&std::fs::read(format!("{process}/{file}"))?).into_owned();
            ensure!(!text.is_empty(), "{file} is empty");
            self.place(file, text);
        }
        self.place("metrics", operator.metrics().await?);
        Ok(())
    }

    /// Everything that Subrosa and the servers wrote down.
    async fn collect(&mut self) -> Result<()> {
        let all = ListParams::default();
        for (version, kind) in [
            ("subrosa.dev/v1alpha1", "TrustDomain"),
            ("subrosa.dev/v1alpha1", "ExternalParty"),
            ("subrosa.dev/v1alpha1", "RetentionPolicy"),
            ("subrosa.dev/v1alpha1", "Channel"),
            ("networking.k8s.io/v1", "NetworkPolicy"),
            ("rbac.authorization.k8s.io/v1", "RoleBinding"),
            ("events.k8s.io/v1", "Event"),
            ("v1", "Event"),
            ("v1", "ConfigMap"),
        ] {
            let objects = self.cluster.api(version, kind, "").await?.list(&all).await?;
            self.place(format!("{version} {kind}"), serde_json::to_string(&objects.items)?);
        }
        let secrets = self.cluster.api("v1", "Secret", "").await?.list(&all).await?;
        for secret in &secrets.items {
            // What is in a Secret is in its place; what is said about it is not.
            self.place("metadata of Secrets", serde_json::to_string(&secret.metadata)?);
        }
        for (id, record) in self.cluster.records().await? {
            self.place("record", format!("{id} {record}"));
        }
        self.place("API server's audit log", std::fs::read_to_string(self.cluster.env.audit()?.path())?);
        self.place(
            "OpenBao's audit log",
            std::fs::read_to_string(self.cluster.env.openbao().audit().path())?,
        );
        let kubeconfig = self.cluster.env.admin_kubeconfig()?;
        for arguments in [&["status"][..], &["status", "-o", "json"]] {
            let output = Command::new(&self.cluster.program)
                .args(arguments)
                .env("KUBECONFIG", &kubeconfig)
                .output()?;
            self.place("subrosa status", String::from_utf8_lossy(&output.stdout));
            self.place("subrosa status", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    /// What of all that is where it must not be.
    fn leaks(&self) -> Vec<String> {
        let (search, mut leaks) = (Search::new(&self.canaries), Vec::new());
        for (place, text) in &self.places {
            for (secret, how) in search.found(text) {
                leaks.push(format!("{secret}, {how}, in {place}"));
            }
            // Tokens that nobody could note beforehand, by what they look like.
            for (shape, what) in [("PRIVATE KEY-----", "a private key"), ("eyJhbGciOi", "a JSON web token")] {
                if text.contains(shape) {
                    leaks.push(format!("{what} in {place}"));
                }
            }
            if let Some(token) = vault_token(text) {
                leaks.push(format!(
                    "what looks like a token of OpenBao ({} characters) in {place}",
                    token.len()
                ));
            }
        }
        leaks
    }
}

/// `s.` or `hvs.` and at least 24 characters, standing alone.
fn vault_token(text: &str) -> Option<&str> {
    text.split(|letter: char| !(letter.is_ascii_alphanumeric() || "._-".contains(letter))).find(|word| {
        let secret = word.strip_prefix("hvs.").or_else(|| word.strip_prefix("s."));
        secret
            .is_some_and(|rest| rest.len() >= 24 && rest.chars().all(|letter| letter.is_ascii_alphanumeric()))
    })
}

fn channel(namespace: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "subrosa.dev/v1alpha1", "kind": "Channel",
        "metadata": {"name": name, "namespace": namespace}, "spec": spec,
    })
}

/// Waits until a Channel says it is not Ready, for any of these reasons.
async fn not_ready(cluster: &Cluster, namespace: &str, name: &str, reasons: &[&str]) -> Result<()> {
    wait::channel(&cluster.admin, namespace, name, PATIENCE, |status| {
        reasons.contains(&wait::reason(status, "Ready"))
    })
    .await
    .map(drop)
    .with_context(|| format!("{namespace}/{name} never was {reasons:?}"))
}

/// Has something done in a Channel: removes its Secret.
async fn stir(cluster: &Cluster, namespace: &str, secret: &str) -> Result<()> {
    let secrets = cluster.api("v1", "Secret", namespace).await?;
    secrets.delete(secret, &Default::default()).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_leaves_its_place() -> Result<()> {
    let cluster = Cluster::build().await?;
    let mut run = Run { cluster, canaries: Vec::new(), places: BTreeMap::new() };
    run.secret("the operator's Kubernetes token", &run.cluster.installed.token.clone());
    let root = run.cluster.env.openbao().root_token().to_owned();
    run.secret("the root token", &root);

    // A second domain whose token is known.
    let names = run.cluster.installed.names.clone().with_token_secrets(&["vault-token"])?;
    for manifest in manifests(&names)? {
        apply_object(&run.cluster.admin, &manifest).await?;
    }
    // Engines of its own: a store of two trust domains is refused.
    run.cluster.installed.set_up_vault(&run.cluster.env, DEVELOPMENT, "-dev").await?;
    let policies = json!([OPERATOR_POLICY, format!("{OPERATOR_POLICY}.kubernetes-dev")]);
    let (_, token) = run
        .cluster
        .root("POST", "auth/token/create", Some(json!({"policies": policies, "ttl": "1h"})))
        .await?;
    let token = token["auth"]["client_token"].as_str().context("no token")?.to_owned();
    run.secret("a TrustDomain's Vault token", &token);
    let token_secret = |token: &str| {
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "vault-token", "namespace": "subrosa-system"},
            "stringData": {"token": token},
        })
    };
    run.cluster.apply(token_secret(&token)).await?;
    let mut development = run.cluster.trust_domain();
    development["metadata"]["name"] = DEVELOPMENT.into();
    development["spec"]["vault"]["mounts"] = json!({"transit": "transit-dev", "kv": "subrosa-dev"});
    // The auth mount of one that logs in with a token is the other's: the same OpenBao by another name of its certificate.
    development["spec"]["vault"]["address"] = other_name(&run).into();
    development["spec"]["vault"]["auth"] = json!({"token": {"secret": "vault-token", "key": "token"}});
    run.cluster.apply(development.clone()).await?;

    let mut operator = run.operator().await?;
    let scenario = Scenario::found(&run.cluster, "secrecy").await?;
    let front = scenario.front.clone();
    run.cluster.apply_all(scenario.created()).await?;
    governed_namespace(&run.cluster.env, "dev", DEVELOPMENT).await?;
    let plain = json!({"workload": {"selector": {"matchLabels": {"app": "x"}}}});
    run.cluster.apply(channel("dev", "tool", plain.clone())).await?;
    run.cluster.whole(&scenario.channels()).await?;
    run.cluster.whole(&[("dev", "tool")]).await?;
    for account in ["sbc", "portal"] {
        let jwt = run.cluster.env.service_account_token(&front, account, "vault").await?;
        run.secret("a workload's Kubernetes token", &jwt);
        let token = run.cluster.workload_token(&front, account).await?;
        run.secret("a workload's Vault token", &token);
    }
    run.note_private_keys().await?;
    run.look_at(&operator).await?;

    disturb(&mut run, &scenario, &development, &token_secret(&token)).await?;
    run.note_private_keys().await?;
    run.look_at(&operator).await?;
    operator.stop();
    let log = operator.log()?;
    ensure!(
        log.contains("\"level\":\"DEBUG\"") && log.lines().count() > 20,
        "there is no log to search: {log}"
    );
    run.place("log", log);

    // What it says when it cannot even start.
    let wrong =
        run.cluster.env.kubeconfig_for_token("wrong", &format!("{}x", run.cluster.installed.token))?;
    let options = Options { kubeconfig: Some(wrong), log: "trace", ..run.cluster.options() };
    let mut refused = Operator::spawn(&run.cluster.installed, options)?;
    let said = || async {
        let log = refused.log().map_err(|error| format!("{error:#}"))?;
        if log.contains("Unauthorized") { Ok(()) } else { Err(log) }
    };
    wait::until(PATIENCE, said).await?;
    // It goes on trying.
    tokio::time::sleep(Duration::from_secs(3)).await;
    refused.kill();
    let log = refused.log()?;
    run.place("log of a refused operator", log);
    run.collect().await?;

    for place in
        ["log", "events.k8s.io/v1 Event", "subrosa.dev/v1alpha1 Channel", "record", "metrics", "cmdline"]
    {
        ensure!(run.places.get(place).is_some_and(|text| text.len() > 10), "nothing of {place} was searched");
    }
    let searched: usize = run.places.values().map(String::len).sum();
    println!(
        "{} secrets in {} encodings over {} places, {searched} bytes",
        run.canaries.len(),
        ENCODINGS.len(),
        run.places.len()
    );
    ensure!(run.canaries.len() >= 12, "only {} secrets", run.canaries.len());
    let leaks = run.leaks();
    ensure!(leaks.is_empty(), "{leaks:#?}");

    // The same search sees what does leak.
    for index in 0..run.canaries.len() {
        let (name, text) = (run.canaries[index].name.clone(), run.canaries[index].text.clone());
        run.places.insert("planted".into(), format!("{{\"message\":{}}}", json!(text)));
        ensure!(!run.leaks().is_empty(), "{name} would not be seen");
    }
    Ok(())
}

/// Everything that makes someone say something about a secret.
/// OpenBao's address by another name of its certificate.
fn other_name(run: &Run) -> String {
    run.cluster.env.openbao().url().replace("127.0.0.1", "localhost")
}

async fn disturb(run: &mut Run, scenario: &Scenario, development: &Value, token: &Value) -> Result<()> {
    let front = scenario.front.as_str();
    let merge = PatchParams::default();
    let pem = "-----BEGIN PRIVATE KEY-----\nQ2FuYXJ5IGluIGEgY29hbCBtaW5lLCB0aGF0IG5vYm9keSBtYXkgaGVhciBzaW5nLCBub3QgZXZlbiBvbmNlIGluIGl0cyBsaWZl\n-----END PRIVATE KEY-----\n";
    run.secret("a key in the wrong place", pem);

    // A foreign Secret under a Channel's name, with a key in it.
    let secrets = Api::<Secret>::namespaced(run.cluster.admin.clone(), "dev");
    let foreign = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "taken"}, "type": "kubernetes.io/tls",
        "stringData": {"tls.key": pem, "tls.crt": pem},
    });
    secrets.create(&PostParams::default(), &serde_json::from_value(foreign)?).await?;
    let taken = json!({
        "workload": {"selector": {"matchLabels": {"app": "y"}}}, "tls": {"secretName": "taken"},
    });
    run.cluster.apply(channel("dev", "late", taken)).await?;
    not_ready(&run.cluster, "dev", "late", &["ForeignObject"]).await?;

    // Our own Secret, with a key where the certificate belongs, and rubbish where the key does.
    let own = Api::<Secret>::namespaced(run.cluster.admin.clone(), front);
    for tampered in [
        json!({"stringData": {"tls.crt": pem}}),
        json!({"stringData": {"tls.key": format!("{pem}and more"), "clients-ca.crt": pem, "servers-ca.crt": pem}}),
    ] {
        own.patch("portal-mtls", &merge, &Patch::Merge(&tampered)).await?;
        let healed = || async {
            let secret = own.get("portal-mtls").await.map_err(|error| error.to_string())?;
            let text = serde_json::to_string(&secret.data).map_err(|error| error.to_string())?;
            let marks = ["Q2FuYXJ5", "UTJGdVlYSjVJR2x1"];
            if marks.iter().any(|mark| text.contains(mark)) { Err("not healed".to_owned()) } else { Ok(()) }
        };
        wait::until(PATIENCE, healed).await?;
        run.note_private_keys().await?;
    }

    // A token that is none, and one that Vault does not know.
    let unknown = "s.NobodyKnowsThisOneAtAll1";
    run.secret("a token that Vault does not know", unknown);
    run.secret("a token with a line break", "s.ThisOneIs\nBrokenInTheMiddle");
    for wrong in [unknown, "s.ThisOneIs\nBrokenInTheMiddle"] {
        let mut secret = token.clone();
        secret["stringData"]["token"] = wrong.into();
        run.cluster.apply(secret).await?;
        // Another wiring reads it anew.
        let mut domain = development.clone();
        domain["spec"]["vault"]["address"] = format!("{}/", other_name(run)).into();
        run.cluster.apply(domain).await?;
        tokio::time::sleep(Duration::from_secs(2)).await;
        stir(&run.cluster, "dev", "tool-mtls").await.ok();
        tokio::time::sleep(Duration::from_secs(1)).await;
        run.cluster.apply(development.clone()).await?;
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    run.cluster.apply(token.clone()).await?;

    // An address with a password in it is refused, and not repeated.
    let password = "correct-horse-battery-staple";
    run.secret("a password in an address", password);
    let mut domain = run.cluster.trust_domain();
    domain["metadata"]["name"] = "careless".into();
    domain["spec"]["vault"]["address"] = format!("https://operator:{password}@openbao.example:8200").into();
    let refused = run.cluster.apply(domain).await.err().context("an address with a password was accepted")?;
    run.place("error of the API server", format!("{refused:#}"));

    // Vault says no, is sealed, is not there; logging in fails.
    let policy_path = format!("sys/policies/acl/{OPERATOR_POLICY}");
    let (_, policy) = run.cluster.root("GET", &policy_path, None).await?;
    let nothing = json!({"policy": "path \"auth/token/lookup-self\" { capabilities = [\"read\"] }"});
    run.cluster.root("POST", &policy_path, Some(nothing)).await?;
    stir(&run.cluster, front, "voice-mtls").await?;
    not_ready(&run.cluster, front, "voice", &["VaultPermissionDenied", "VaultTokenRejected"]).await?;
    run.cluster.root("POST", &policy_path, Some(json!({"policy": policy["data"]["policy"]}))).await?;
    run.cluster.whole(&scenario.channels()).await?;
    run.note_private_keys().await?;

    run.cluster.env.openbao().seal().await?;
    // Each time in another Channel: three certificates an hour are all one may have.
    stir(&run.cluster, &scenario.data, "db-mtls").await?;
    not_ready(&run.cluster, &scenario.data, "db", &["VaultSealed"]).await?;
    run.cluster.env.openbao().unseal().await?;
    run.cluster.whole(&scenario.channels()).await?;
    run.note_private_keys().await?;

    for change in [
        json!({"address": "https://127.0.0.1:1"}),
        json!({"auth": {"kubernetes": {"mount": "kubernetes", "role": "nobody", "audience": "vault"}}}),
        json!({"auth": {"kubernetes": {"mount": "kubernetes", "role": "subrosa", "audience": "another"}}}),
    ] {
        let mut domain = run.cluster.trust_domain();
        for (field, value) in change.as_object().unwrap() {
            domain["spec"]["vault"][field] = value.clone();
        }
        run.cluster.apply(domain).await?;
        let unreachable = || async {
            let found = run.cluster.subrosa("TrustDomain", "").await.map_err(|error| error.to_string())?;
            let found = found.get(DOMAIN).await.map_err(|error| error.to_string())?;
            // What is said of the change before is no answer to this one.
            let current = found.data["status"]["observedGeneration"].as_i64() == found.metadata.generation;
            let reached = found.data["status"]["conditions"]
                .as_array()
                .into_iter()
                .flatten()
                .any(|condition| condition["type"] == "VaultReachable" && condition["status"] == "False");
            if current && reached { Ok(()) } else { Err(format!("{change}: {}", found.data["status"])) }
        };
        wait::until(PATIENCE, unreachable).await?;
    }
    run.cluster.apply(run.cluster.trust_domain()).await?;
    run.cluster.whole(&scenario.channels()).await?;

    // The API server says no, in a Channel of which no certificate was made again yet: what is made of one more, and
    // cannot be written, is tried again a minute later, and that is all the time that is waited below.
    let plain = json!({"workload": {"selector": {"matchLabels": {"app": "z"}}}});
    run.cluster.apply(channel(front, "refused", plain)).await?;
    run.cluster.whole(&[(front, "refused")]).await?;
    let roles = run.cluster.api("rbac.authorization.k8s.io/v1", "ClusterRole", "").await?;
    let rules = roles.get("subrosa-namespace").await?.data["rules"].clone();
    roles.patch("subrosa-namespace", &merge, &Patch::Merge(&json!({"rules": []}))).await?;
    // It authorizes by what it has watched: until then a Secret would be made again as if nothing were.
    let operators = run.cluster.env.client_for_token(&run.cluster.installed.token)?;
    let operators = Api::<Secret>::namespaced(operators, front);
    let refused = || async {
        match operators.get("refused-mtls").await {
            Err(kube::Error::Api(status)) if status.code == 403 => Ok(()),
            other => Err(format!("{:?}", other.map(|secret| secret.metadata))),
        }
    };
    wait::until(PATIENCE, refused).await?;
    stir(&run.cluster, front, "refused-mtls").await?;
    not_ready(&run.cluster, front, "refused", &["KubernetesForbidden"]).await?;
    roles.patch("subrosa-namespace", &merge, &Patch::Merge(&json!({"rules": rules}))).await?;
    run.cluster.whole(&[(front, "refused")]).await?;
    run.cluster.whole(&scenario.channels()).await?;
    Ok(())
}
