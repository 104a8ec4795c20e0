//! The demo on a node: pods run, mount what Subrosa writes, and speak to each other.
//!
//! ```text
//!  node ─▶ OpenBao, charts ─▶ four servers, two clients ─▶ who gets in ─▶ renewal ─▶ stay
//! ```

use std::{path::Path, time::Instant};

use anyhow::{Result, bail};

use super::Screen;
use crate::{
    node::{
        Node,
        release::NAMESPACE,
        servers::{CLIENTS_NAMESPACE, DESK, SERVERS, SERVERS_NAMESPACE, STRANGER, Server},
        unsupported,
        wire::Wire,
    },
    tools,
};

const DOMAIN: &str = "oosterlinde";

/// A demo on a node: dropping it ends all of it and leaves nothing.
pub struct NodeDemo {
    node: Node,
    /// What was promised and did not hold.
    broken: Vec<String>,
}

impl NodeDemo {
    /// Starts everything, and shows who gets in where.
    ///
    /// # Errors
    /// When this machine can have no node, or something does not start. What was promised and did not hold is no
    /// error: see [`held`](Self::held).
    pub async fn start(screen: &mut Screen) -> Result<Self> {
        if let Some(why) = unsupported() {
            bail!("no demo on a node here: {why}; `cargo demo` without --node needs none");
        }
        screen.title("Subrosa on a node: real servers, mutual TLS, only their own configuration")?;
        screen.text(
            "A Kubernetes node runs in namespaces of this machine: containerd, kubelet, kube-proxy, CoreDNS.\n\
             Nothing here enforces a NetworkPolicy: who is refused is refused by TLS.",
        )?;
        screen.step("Starting a control plane and a node")?;
        let began = Instant::now();
        let node = Node::start().await?;
        screen.done(&format!("the node is ready after {:.1} s", began.elapsed().as_secs_f32()))?;
        let mut demo = Self { node, broken: Vec::new() };
        demo.show(screen).await?;
        Ok(demo)
    }

    async fn show(&mut self, screen: &mut Screen) -> Result<()> {
        screen.step("Installing OpenBao, and Subrosa by its charts from its image")?;
        let began = Instant::now();
        self.node.install_operator(DOMAIN, &[]).await?;
        screen.done(&format!(
            "two replicas run as ServiceAccount {NAMESPACE}/subrosa after {:.1} s",
            began.elapsed().as_secs_f32()
        ))?;

        screen.step("Starting PostgreSQL, nginx, Mosquitto and Kamailio, and two clients")?;
        let began = Instant::now();
        self.node.install_servers().await?;
        screen.done(&format!(
            "every Channel is Ready and every pod mounts its Secret after {:.1} s",
            began.elapsed().as_secs_f32()
        ))?;

        screen.step("Who gets in: desk is declared by both ends, stranger has a certificate and is not")?;
        for server in SERVERS {
            self.admit(screen, server).await?;
        }

        screen.step("A renewal reaches the running servers while desk connects all the time")?;
        for (server, renewal) in
            futures::future::join_all(SERVERS.map(async |server| (server, self.node.renew(server).await)))
                .await
        {
            match renewal {
                Ok(renewal) => screen.judged(
                    true,
                    &format!(
                        "{}: {} connections, none refused; from {}… to {}… in {:.1} s",
                        server.software,
                        renewal.connections,
                        start(&renewal.old),
                        start(&renewal.new),
                        renewal.took.as_secs_f32()
                    ),
                )?,
                Err(error) => self.fails(screen, format!("{}: {error:#}", server.software))?,
            }
        }
        Ok(())
    }

    async fn admit(&mut self, screen: &mut Screen, server: Server) -> Result<()> {
        let Server { name, software, port, protocol, .. } = server;
        let at = (SERVERS_NAMESPACE, name, port);
        let peer = Wire::new(&self.node, at, (CLIENTS_NAMESPACE, DESK), protocol).await?.call().await;
        let stranger = Wire::new(&self.node, at, (CLIENTS_NAMESPACE, STRANGER), protocol).await?.call().await;
        match (peer, stranger) {
            (Ok(_), Err(refusal)) => {
                screen.judged(true, &format!("{software} answers desk; stranger: {refusal:#}"))
            }
            (Err(refusal), _) => self.fails(screen, format!("{software} does not answer desk: {refusal:#}")),
            (_, Ok(_)) => self.fails(screen, format!("{software} answers a stranger")),
        }
    }

    fn fails(&mut self, screen: &mut Screen, what: String) -> Result<()> {
        screen.judged(false, &what)?;
        self.broken.push(what);
        Ok(())
    }

    /// Whether everything that was promised held; says what did not.
    ///
    /// # Errors
    /// When nothing can be written.
    pub async fn held(&self, screen: &mut Screen) -> Result<bool> {
        screen.blank()?;
        if self.broken.is_empty() {
            screen.judged(true, "All of it held.")?;
            return Ok(true);
        }
        for what in &self.broken {
            screen.judged(false, &format!("This did not hold: {what}."))?;
        }
        let log = self.node.operator_log().await?;
        screen.text(&format!("The operator's log ends:\n{}", super::last_lines(&log, 15)))?;
        Ok(false)
    }

    /// What to try next, for as long as it runs.
    ///
    /// # Errors
    /// When kubectl cannot be had, or nothing can be written.
    pub fn invite(&self, screen: &mut Screen) -> Result<()> {
        screen.step("It stays like this until Ctrl-C. In another terminal:")?;
        screen.text(&next_commands(&self.node.kubeconfig()?, &tools::kubectl()?))
    }
}

/// The first digits of a serial number: enough to tell two apart.
fn start(serial: &str) -> &str {
    serial.get(..12).unwrap_or(serial)
}

fn next_commands(kubeconfig: &Path, kubectl: &Path) -> String {
    format!(
        "export KUBECONFIG={}\n\
         alias kubectl={}\n\
         kubectl get channels,pods -A\n\
         kubectl logs -n {NAMESPACE} deploy/subrosa\n\
         # PostgreSQL says who it takes desk for.\n\
         kubectl exec -n {CLIENTS_NAMESPACE} deploy/{DESK} -c postgresql -- psql \\\n  \
         'host=db.{SERVERS_NAMESPACE}.svc dbname=postgres sslmode=verify-full sslrootcert=/tls/servers-ca.crt \
         sslcert=/tls/tls.crt sslkey=/tls/tls.key user={DESK}' -c 'SELECT client_dn FROM pg_stat_ssl'\n\
         # The database withdraws its consent: the same command is refused a few seconds later.\n\
         kubectl patch channel db -n {SERVERS_NAMESPACE} --type merge -p '{{\"spec\":{{\"accepts\":[]}}}}'",
        kubeconfig.display(),
        kubectl.display()
    )
}
