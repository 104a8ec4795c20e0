//! The namespaces a node lives in. One process holds them, and the kernel ends all that is in them with it:
//! however the harness ends, no process, no mount and no interface of the node is left.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    process::{Invocation, Supervised},
    tools::{find_on_path, run},
};

/// The first process of the node: it waits, and buries what nobody else does.
const HOLDER: &str = "while :; do sleep 3600 & wait $!; done";
const LIMIT: Duration = Duration::from_secs(10);

/// Namespaces of network, mounts and processes, with directories of their own where programs of a node write.
pub struct Space {
    holder: Supervised,
    /// The first process, as the machine numbers it.
    first: u32,
}

/// Where programs of a node write, so that each node has its own: the machine's path, and the name of what is
/// there instead in the node's directory. A name that is empty is memory.
const OWN: [(&str, &str); 3] = [("/run", ""), ("/var/lib", "lib"), ("/var/log", "log")];

impl Space {
    /// Makes the namespaces; files of the node are in `directory`.
    ///
    /// # Errors
    /// When the machine does not allow it.
    pub fn create(directory: &Path) -> Result<Self> {
        let words = ["--net", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--"];
        let mut arguments: Vec<OsString> = words.iter().map(Into::into).collect();
        arguments.extend(["/bin/sh", "-c", HOLDER].map(Into::into));
        let invocation = Invocation {
            name: "namespaces",
            program: util_linux("unshare")?,
            arguments,
            environment: BTreeMap::new(),
        };
        let mut holder = Supervised::spawn(invocation, directory)?;
        let first = first_process(&mut holder)?;
        let space = Self { holder, first };
        // Mounts a container shares with its pod have to spread within the node, and never out of it.
        space.run(&["mount", "--make-rshared", "/"])?;
        for (place, name) in OWN {
            if name.is_empty() {
                space.run(&["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", place])?;
                continue;
            }
            let own = directory.join(name);
            fs::create_dir_all(&own).with_context(|| format!("create {}", own.display()))?;
            space.run(&["mount", "--bind", &own.display().to_string(), place])?;
        }
        space.run(&["sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"])?;
        Ok(space)
    }

    /// The first process, whose namespaces the node's are.
    pub fn first(&self) -> u32 {
        self.first
    }

    /// How a program is started inside.
    ///
    /// # Errors
    /// When there is no `nsenter`.
    pub fn invocation(
        &self,
        name: &'static str,
        program: &Path,
        arguments: impl IntoIterator<Item = OsString>,
        environment: BTreeMap<String, OsString>,
    ) -> Result<Invocation> {
        let mut all = self.entering();
        all.push(program.into());
        all.extend(arguments);
        Ok(Invocation { name, program: util_linux("nsenter")?, arguments: all, environment })
    }

    /// Runs a program inside to its end.
    ///
    /// # Errors
    /// When it fails, with what it said.
    pub fn run(&self, argv: &[&str]) -> Result<()> {
        let mut command = Command::new(util_linux("nsenter")?);
        command.args(self.entering()).args(argv);
        run(command, &format!("in the node's namespaces: {}", argv.join(" ")))
    }

    fn entering(&self) -> Vec<OsString> {
        let target = format!("--target={}", self.first);
        [target.as_str(), "--net", "--mount", "--pid", "--"].map(Into::into).to_vec()
    }

    /// Ends everything inside at once, and waits until it has ended.
    pub fn end(&mut self) {
        // While its parent lives the number is its own, and the parent ends when all inside has.
        let first = i32::try_from(self.first).ok().and_then(Pid::from_raw);
        if let Some(first) = first.filter(|_| self.holder.exited().is_none()) {
            let _ = kill_process(first, Signal::KILL);
        }
        let deadline = Instant::now() + LIMIT;
        while self.holder.exited().is_none() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        self.holder.kill();
    }
}

/// `unshare` forks; its child becomes the holder once it has mounted what it needs.
fn first_process(holder: &mut Supervised) -> Result<u32> {
    let deadline = Instant::now() + LIMIT;
    let children = format!("/proc/{0}/task/{0}/children", holder.pid());
    loop {
        if let Some(status) = holder.exited() {
            bail!("no namespaces for a node ({status}): {}", holder.log_tail());
        }
        let child = fs::read_to_string(&children).unwrap_or_default();
        if let Ok(child) = child.trim().parse::<u32>()
            && fs::read_to_string(format!("/proc/{child}/comm")).is_ok_and(|name| name == "sh\n")
        {
            return Ok(child);
        }
        if Instant::now() >= deadline {
            bail!("no namespaces for a node after {LIMIT:?}: {}", holder.log_tail());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn util_linux(name: &str) -> Result<PathBuf> {
    find_on_path(name).with_context(|| format!("{name} of util-linux is not on PATH"))
}
