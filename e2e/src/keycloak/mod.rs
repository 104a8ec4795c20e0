//! A real identity provider: Keycloak on loopback with TLS, its data in memory.
//!
//! It is fetched from Maven Central once and prepared in `target/e2e/`; [`unsupported`] says in one line what is missing.

mod distribution;
mod java;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use http::{Method, header::CONTENT_TYPE};
use serde_json::{Value, json};

use crate::{
    control_plane::{free_port, random_token},
    directory::{WorkDirectory, write_private},
    kubeconfig::Endpoint,
    pki::Authority,
    process::{Invocation, Supervised},
};

pub use java::unsupported;

/// Some seconds on an idle machine; beside thirty processes that compute it was not ready after four minutes. One that ends is told at
/// once, so only one that hangs is waited for in vain.
const START_LIMIT: Duration = Duration::from_secs(900);
const PORT_ATTEMPTS: usize = 5;
const ADMINISTRATOR: &str = "admin";
const FORM: &str = "application/x-www-form-urlencoded";

/// A running Keycloak. Ended on drop.
pub struct Keycloak {
    endpoint: Endpoint,
    http: reqwest::Client,
    password: String,
    // Before the directory that it writes its log to.
    _process: Supervised,
    _directory: WorkDirectory,
}

impl Keycloak {
    /// Starts it, with the realm `master` alone.
    ///
    /// # Errors
    /// When it cannot be fetched, or is not ready in time: with the end of its log.
    pub async fn start() -> Result<Self> {
        let java = java::java()?;
        let home = distribution::home(&java)?;
        let directory = WorkDirectory::create()?;
        let authority = Authority::new("Keycloak of a test")?;
        let identity = authority.server(&[])?;
        let files = Files {
            certificate: write_private(&directory.path().join("tls.crt"), &identity.certificate_pem)?,
            key: write_private(&directory.path().join("tls.key"), &identity.key_pem)?,
        };
        let password = random_token();
        let mut last = String::new();
        for _ in 0..PORT_ATTEMPTS {
            let port = free_port()?;
            let endpoint = Endpoint {
                url: format!("https://127.0.0.1:{port}"),
                ca_pem: authority.certificate_pem().to_owned(),
            };
            let http = endpoint.http_client()?;
            let environment = BTreeMap::from([
                ("KC_BOOTSTRAP_ADMIN_USERNAME".to_owned(), ADMINISTRATOR.into()),
                ("KC_BOOTSTRAP_ADMIN_PASSWORD".to_owned(), password.clone().into()),
            ]);
            let mut arguments = distribution::program(&home);
            arguments.extend(options(&endpoint, port, &files));
            let invocation = Invocation { name: "keycloak", program: java.clone(), arguments, environment };
            let mut process = Supervised::spawn(invocation, directory.path())?;
            let realm = format!("{}/realms/master", endpoint.url);
            let probe = || async {
                let answer = http.get(&realm).send().await;
                answer.is_ok_and(|answer| answer.status().is_success())
            };
            match process.ready(START_LIMIT, probe).await {
                Ok(()) => {
                    return Ok(Self { endpoint, http, password, _process: process, _directory: directory });
                }
                Err(error) if error.to_string().contains("already in use") => last = error.to_string(),
                Err(error) => return Err(error),
            }
        }
        bail!("Keycloak found no free port in {PORT_ATTEMPTS} attempts; the last one: {last}")
    }

    /// Where it is and what to trust.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The issuer of the tokens of a realm.
    #[must_use]
    pub fn issuer(&self, realm: &str) -> String {
        format!("{}/realms/{realm}", self.endpoint.url)
    }

    /// A request of the administrator to the REST interface, such as `("POST", "/staff/users", Some(json))`: what it
    /// answers, which is null where it says nothing.
    ///
    /// # Errors
    /// On every status but 2xx, with what Keycloak said.
    pub async fn admin(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let what = || format!("Keycloak: {method} {path}");
        let method = Method::from_bytes(method.as_bytes()).with_context(what)?;
        let token = self.administrator().await.with_context(what)?;
        let address = format!("{}/admin/realms{path}", self.endpoint.url);
        let mut request = self.http.request(method.clone(), address).bearer_auth(token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.with_context(what)?;
        let status = answer.status();
        let text = answer.text().await.with_context(what)?;
        if !status.is_success() {
            bail!("Keycloak: {method} {path}: {status}: {text}");
        }
        if text.is_empty() { Ok(Value::Null) } else { serde_json::from_str(&text).with_context(what) }
    }

    /// Asks the token endpoint of a realm: what it answers, whatever the status.
    ///
    /// # Errors
    /// When there is no answer, or none that is JSON.
    pub async fn token(&self, realm: &str, fields: &[(&str, &str)]) -> Result<Value> {
        let address = format!("{}/protocol/openid-connect/token", self.issuer(realm));
        let request = self.http.post(address).header(CONTENT_TYPE, FORM).body(form(fields)?);
        request.send().await?.json().await.context("Keycloak: an answer of the token endpoint")
    }

    /// Its tokens last a minute: one for each request.
    async fn administrator(&self) -> Result<String> {
        let fields = [
            ("client_id", "admin-cli"),
            ("grant_type", "password"),
            ("username", ADMINISTRATOR),
            ("password", self.password.as_str()),
        ];
        let answer = self.token("master", &fields).await?;
        let token = answer.get("access_token").and_then(Value::as_str);
        let error = answer.get("error_description").unwrap_or(&json!("no token")).clone();
        token.map(str::to_owned).with_context(|| format!("the administrator's login: {error}"))
    }
}

/// Fields as a form has them.
///
/// # Errors
/// Never, in fact.
pub fn form(fields: &[(&str, &str)]) -> Result<String> {
    let mut form = reqwest::Url::parse("form:fields").context("a form")?;
    form.query_pairs_mut().extend_pairs(fields);
    Ok(form.query().unwrap_or_default().to_owned())
}

struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

/// The address is what tokens have as their issuer, so it is said and not taken from requests.
fn options(endpoint: &Endpoint, port: u16, files: &Files) -> Vec<OsString> {
    let file = |option: &str, path: &Path| {
        let mut all = OsString::from(option);
        all.push(path);
        all
    };
    vec![
        "start".into(),
        "--optimized".into(),
        "--cache=local".into(),
        "--http-host=127.0.0.1".into(),
        format!("--https-port={port}").into(),
        format!("--hostname={}", endpoint.url).into(),
        file("--https-certificate-file=", &files.certificate),
        file("--https-certificate-key-file=", &files.key),
    ]
}
