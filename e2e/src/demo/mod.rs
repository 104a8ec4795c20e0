//! The demo: a hospital's contact centre, protected, on a control plane and an OpenBao of its own.
//!
//! ```text
//!  start ─▶ install ─▶ operator ─▶ apply examples/contact-center ─▶ watch ─▶ prove ─▶ draw ─▶ stay
//! ```
//!
//! It uses what an administrator would use and shows what an auditor would read. It never touches a
//! cluster of yours.

mod diagram;
mod examples;
mod handshake;
mod on_node;
mod progress;
mod proof;
mod screen;

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context as _, Result};
use kube::{Api, Client};
use subrosa_crds::TrustDomain;

use crate::{Environment, Installation, Operator, openbao::Storage, operator, tools};

pub use on_node::NodeDemo;
pub use screen::Screen;

/// The trust domain that the examples declare.
const DOMAIN: &str = "oosterlinde";

/// A demo that runs: dropping it ends every process and removes every file it made.
pub struct Demo {
    // Fields are dropped in this order: the operator ends before its API server.
    operator: Operator,
    env: Environment,
    /// The operator's binary, which is the command for people too.
    program: PathBuf,
    /// Everything that was promised, and whether it held.
    held: Vec<(String, bool)>,
}

impl Demo {
    /// Starts everything, applies the examples, and shows what became of them.
    ///
    /// # Errors
    /// When something cannot be started or applied. What was promised and did not hold is no error:
    /// see [`held`](Self::held).
    pub async fn start(screen: &mut Screen) -> Result<Self> {
        screen.title("Subrosa: a hospital's contact centre, protected")?;
        screen.text(
            "A Kubernetes control plane, OpenBao and the operator run as processes on loopback. There is no node:\n\
             pods stay Pending, and no packet is blocked by a NetworkPolicy here. All else is real.",
        )?;
        // Settled before anything runs: this is what may take minutes, and it says so itself.
        let program = tokio::task::spawn_blocking(provision).await.context("provision tools")??;

        screen.step("Starting a control plane and OpenBao")?;
        let began = Instant::now();
        let env = Environment::builder().local().storage(Storage::InMemory).start().await?;
        screen.done(&format!("ready after {:.1} s", began.elapsed().as_secs_f32()))?;

        screen.step("Installing Subrosa, as an administrator would")?;
        let installed = Installation::install(&env, DOMAIN).await?;
        screen.done(
            "CustomResourceDefinitions, roles, admission policies; Vault's mounts, policies and roles",
        )?;

        screen.step("Starting the operator, with the token of its own ServiceAccount")?;
        let options =
            operator::Options { program: Some(program.clone()), log: "info", ..operator::Options::default() };
        let operator = Operator::start_with(&installed, options).await?;
        screen.done("it has seen everything there is")?;

        let mut demo = Self { operator, env, program, held: Vec::new() };
        demo.show(screen).await?;
        Ok(demo)
    }

    async fn show(&mut self, screen: &mut Screen) -> Result<()> {
        let client = self.env.admin()?;
        screen.step("Applying examples/contact-center")?;
        let objects = examples::read(&tools::workspace()?.join("examples/contact-center"))?;
        for note in examples::apply(&client, objects, &self.env).await? {
            screen.done(&note)?;
        }

        screen.step("The Channels become ready")?;
        let ready = progress::watch(&client, screen).await?;
        self.hold("every Channel is Ready, and every connection that both ends declare is open", ready);

        screen.step("Who may talk to whom, as both ends' status says")?;
        let channels = progress::channels(&client).await?;
        let domain = Api::<TrustDomain>::all(client.clone()).get(DOMAIN).await?;
        screen.text(&diagram::draw(&channels, &domain))?;

        screen.step("Mutual TLS with the files from the Secrets, over TCP on loopback")?;
        self.prove(&client, screen).await
    }

    async fn prove(&mut self, client: &Client, screen: &mut Screen) -> Result<()> {
        for claim in proof::CLAIMS {
            let (held, what) = claim.check(client).await?;
            screen.judged(held, &format!("{claim}\n{what}"))?;
            self.hold(&claim.to_string(), held);
        }
        Ok(())
    }

    fn hold(&mut self, what: &str, held: bool) {
        self.held.push((what.to_owned(), held));
    }

    /// Whether everything that was promised held; says what did not.
    ///
    /// # Errors
    /// When nothing can be written.
    pub fn held(&self, screen: &mut Screen) -> Result<bool> {
        let broken: Vec<_> = self.held.iter().filter(|(_, held)| !held).map(|(what, _)| what).collect();
        screen.blank()?;
        if broken.is_empty() {
            screen.judged(true, "All of it held.")?;
            return Ok(true);
        }
        for what in broken {
            screen.judged(false, &format!("This did not hold: {what}."))?;
        }
        screen.text(&format!("The operator's log ends:\n{}", last_lines(&self.operator.log()?, 15)))?;
        Ok(false)
    }

    /// What to try next, for as long as it runs.
    ///
    /// # Errors
    /// When kubectl cannot be had, or nothing can be written.
    pub async fn invite(&self, screen: &mut Screen) -> Result<()> {
        let kubectl = tokio::task::spawn_blocking(tools::kubectl).await.context("provision kubectl")??;
        let kubeconfig = self.env.admin_kubeconfig()?;
        screen.step("It stays like this until Ctrl-C. In another terminal:")?;
        screen.text(&next_commands(&kubeconfig, &kubectl, &self.program))
    }
}

/// Builds or gets what is missing; returns the operator's binary.
fn provision() -> Result<PathBuf> {
    crate::cluster::Components::provision()?;
    tools::bao()?;
    tools::say("building the operator, if it changed (a minute or two the first time)");
    operator::binary()
}

fn next_commands(kubeconfig: &Path, kubectl: &Path, subrosa: &Path) -> String {
    let (kubectl, subrosa) = (kubectl.display(), subrosa.display());
    format!(
        "export KUBECONFIG={}\n\
         alias kubectl={kubectl} subrosa={subrosa}\n\
         kubectl get channels -A\n\
         subrosa status -A\n\
         subrosa explain channel/voice -n cc-front\n\
         kubectl get networkpolicy subrosa-channel-db -n cc-data -o yaml\n\
         # One end withdraws its consent: see what both ends say.\n\
         kubectl patch channel mail -n cc-mail --type merge -p '{{\"spec\":{{\"accepts\":[]}}}}'\n\
         subrosa explain channel/portal -n cc-web",
        kubeconfig.display()
    )
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines.get(lines.len().saturating_sub(count)..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_the_last() {
        assert_eq!(last_lines("a\nb\nc", 2), "b\nc");
        assert_eq!(last_lines("a", 2), "a");
        assert_eq!(last_lines("", 2), "");
    }
}
