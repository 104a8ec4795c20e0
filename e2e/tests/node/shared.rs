//! The node that all tests of this binary use, and what is installed on it once.

use std::sync::Once;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use subrosa_e2e::{
    node::{
        Node, PATIENCE,
        release::Release,
        servers::{CLIENTS_NAMESPACE, DESK},
        unsupported,
    },
    tools, wait,
};
use tokio::sync::OnceCell;

/// The trust domain of the hospital.
pub const DOMAIN: &str = "oosterlinde";

/// nginx with mutual TLS at 8443 by the files in /tls; it tells its peers who they are. Nothing reloads it.
pub const NGINX: &str = "daemon off;
pid /tmp/nginx.pid;
error_log stderr notice;
worker_processes 1;
events {}
http {
  access_log off;
  client_body_temp_path /tmp/body;
  proxy_temp_path /tmp/proxy;
  fastcgi_temp_path /tmp/fastcgi;
  uwsgi_temp_path /tmp/uwsgi;
  scgi_temp_path /tmp/scgi;
  server {
    listen 8443 ssl;
    ssl_certificate /tls/tls.crt;
    ssl_certificate_key /tls/tls.key;
    ssl_client_certificate /tls/clients-ca.crt;
    ssl_verify_client on;
    location / {
      return 200 \"you are $ssl_client_s_dn\";
    }
  }
}
";

/// A node where pods run; nothing where this machine can have none.
pub async fn node() -> Option<&'static Node> {
    static NODE: OnceCell<Node> = OnceCell::const_new();
    if skipped() {
        return None;
    }
    // In a static, so never dropped: what is left of it goes with this process all the same.
    Some(NODE.get_or_init(|| async { Node::start().await.unwrap() }).await)
}

/// The node with Subrosa on it.
pub async fn subrosa() -> Option<(&'static Node, &'static Release)> {
    static RELEASE: OnceCell<Release> = OnceCell::const_new();
    let node = node().await?;
    let release =
        RELEASE.get_or_init(|| async { node.install_operator(DOMAIN, &["log.level=debug"]).await.unwrap() });
    Some((node, release.await))
}

/// The node with Subrosa and the servers on it.
pub async fn servers() -> Option<&'static Node> {
    static SERVERS: OnceCell<()> = OnceCell::const_new();
    let (node, _) = subrosa().await?;
    SERVERS
        .get_or_init(|| async {
            node.install_servers().await.unwrap();
            mounts_what_is_written(node).await;
        })
        .await;
    Some(node)
}

/// Waits until the client that the servers accept has in its pod what is in its Secret: whom it trusts was written in
/// several steps, and the pod may have begun after the first.
async fn mounts_what_is_written(node: &Node) {
    let secrets = Api::<Secret>::namespaced(node.client().unwrap(), CLIENTS_NAMESPACE);
    let file = "servers-ca.crt";
    wait::until(PATIENCE, || async {
        let data = secrets.get(&format!("{DESK}-mtls")).await.unwrap().data.unwrap_or_default();
        let written = data.get(file).map(|text| String::from_utf8_lossy(&text.0).into_owned());
        let path = format!("/tls/{file}");
        let said = node.exec(CLIENTS_NAMESPACE, &format!("deploy/{DESK}"), &["cat", &path]).await.unwrap();
        if written.as_ref() == Some(&said.out) { Ok(()) } else { Err(said) }
    })
    .await
    .unwrap();
}

fn skipped() -> bool {
    static SAID: Once = Once::new();
    let Some(why) = unsupported() else { return false };
    SAID.call_once(|| tools::say(&format!("tests on a node are skipped: {why}")));
    true
}
