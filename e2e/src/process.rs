//! A supervised server process: its output in a log file, its end certain.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::File,
    future::Future,
    io::{Read as _, Seek as _, SeekFrom},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{LazyLock, mpsc},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// How long a process may take over SIGTERM before it is killed.
const GRACE: Duration = Duration::from_secs(5);
const PROBE_INTERVAL: Duration = Duration::from_millis(25);
const LOG_TAIL_BYTES: u64 = 4096;

/// What to run: a program, its arguments, and nothing of this process's environment but `PATH`.
///
/// The environment is emptied because etcd and OpenBao read settings from it.
pub struct Invocation {
    /// The name for logs and errors.
    pub name: &'static str,
    /// The program.
    pub program: PathBuf,
    /// Its arguments. They are visible to every user of the machine: no secret belongs here.
    pub arguments: Vec<OsString>,
    /// Additional environment variables; a `PATH` among them replaces this process's.
    pub environment: BTreeMap<String, OsString>,
}

/// A running server. Ended and reaped on drop.
pub struct Supervised {
    name: &'static str,
    child: Child,
    log: PathBuf,
    ended: Option<ExitStatus>,
}

impl Supervised {
    /// Starts the program with its output appended to `<directory>/<name>.log`.
    pub fn spawn(invocation: Invocation, directory: &Path) -> Result<Self> {
        let Invocation { name, program, arguments, environment } = invocation;
        let log = directory.join(format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log);
        let output = output.with_context(|| format!("open {}", log.display()))?;
        let errors = output.try_clone().with_context(|| format!("open {}", log.display()))?;

        let mut command = if let Some(setpriv) = SETPRIV.as_deref() {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "--"]).arg(&program);
            // Its own group, so that Ctrl-C reaches only us and we end it in order.
            command.process_group(0);
            command
        } else {
            Command::new(&program)
        };
        command.args(arguments).env_clear().current_dir(directory);
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        command.envs(environment);
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        let child = spawn_from_lasting_thread(command)
            .with_context(|| format!("start {name} ({})", program.display()))?;
        Ok(Self { name, child, log, ended: None })
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its exit status, if it ended.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().ok().flatten();
        }
        self.ended
    }

    /// The end of its log.
    pub fn log_tail(&self) -> String {
        tail(&self.log).unwrap_or_else(|error| format!("(no log: {error})"))
    }

    /// Waits until `probe` says yes. Fails with the log's tail when the process ends or time is up.
    pub async fn ready<F, P>(&mut self, limit: Duration, mut probe: P) -> Result<()>
    where
        P: FnMut() -> F,
        F: Future<Output = bool>,
    {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.exited() {
                bail!(
                    "{} ended before it was ready ({status}); its log ends:\n{}",
                    self.name,
                    self.log_tail()
                );
            }
            if probe().await {
                return Ok(());
            }
            if Instant::now() >= deadline {
                bail!("{} was not ready after {limit:?}; its log ends:\n{}", self.name, self.log_tail());
            }
            tokio::time::sleep(PROBE_INTERVAL).await;
        }
    }

    /// Asks it to end, without waiting.
    pub fn terminate(&mut self) {
        self.signal(Signal::TERM);
    }

    /// Ends it at once, as a crash would, and reaps it.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.ended = self.ended.or_else(|| self.child.wait().ok());
    }

    /// Holds it: it stands still until it is [resumed](Self::resume), as on a machine that hangs.
    pub fn pause(&mut self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn resume(&mut self) {
        self.signal(Signal::CONT);
    }

    /// Ends it: SIGTERM, then SIGKILL after a grace period; returns once it is reaped.
    pub fn end(&mut self) {
        self.terminate();
        let deadline = Instant::now() + GRACE;
        while self.exited().is_none() {
            if Instant::now() >= deadline {
                self.kill();
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn signal(&mut self, signal: Signal) {
        // Not yet reaped, so the id cannot have been given to another process.
        if self.exited().is_none() {
            let _ = kill_process(Pid::from_child(&self.child), signal);
        }
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        self.end();
    }
}

/// util-linux's `setpriv`: the one way to ask for a parent-death signal without unsafe code.
static SETPRIV: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
    let works = |path: &PathBuf| {
        let probe = Command::new(path).args(["--pdeathsig", "KILL", "--", "true"]).output();
        probe.is_ok_and(|output| output.status.success())
    };
    crate::tools::find_on_path("setpriv").filter(works)
});

/// Whether servers end even when this process is killed without a chance to end them.
pub fn dies_with_parent() -> bool {
    SETPRIV.is_some()
}

type Spawned = std::io::Result<Child>;

/// The kernel sends the parent-death signal when the *thread* that forked ends. Test threads end
/// while a shared environment lives on, so one thread that never ends does all the forking.
static SPAWNER: LazyLock<mpsc::Sender<(Command, mpsc::Sender<Spawned>)>> = LazyLock::new(|| {
    let (sender, requests) = mpsc::channel::<(Command, mpsc::Sender<Spawned>)>();
    std::thread::spawn(move || {
        for (mut command, reply) in requests {
            // The requester waits for the reply; if it is gone, so is its interest in the child.
            if let Err(mpsc::SendError(Ok(mut orphan))) = reply.send(command.spawn()) {
                let _ = orphan.kill();
                let _ = orphan.wait();
            }
        }
    });
    sender
});

fn spawn_from_lasting_thread(command: Command) -> Spawned {
    let gone = || std::io::Error::other("the spawning thread is gone");
    let (reply, answer) = mpsc::channel();
    SPAWNER.send((command, reply)).map_err(|_| gone())?;
    answer.recv().map_err(|_| gone())?
}

fn tail(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Invocation {
        Invocation {
            name: "script",
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            environment: BTreeMap::new(),
        }
    }

    fn alive(pid: u32) -> bool {
        Path::new(&format!("/proc/{pid}")).exists()
    }

    #[tokio::test]
    async fn an_early_end_is_reported_with_the_log() {
        let directory = tempfile::tempdir().unwrap();
        let mut process =
            Supervised::spawn(shell("echo no such thing >&2; exit 3"), directory.path()).unwrap();
        let error = process.ready(Duration::from_secs(5), || async { false }).await.unwrap_err().to_string();
        assert!(error.contains("no such thing") && error.contains("exit status: 3"), "{error}");
    }

    #[test]
    fn dropping_ends_and_reaps() {
        let directory = tempfile::tempdir().unwrap();
        let process = Supervised::spawn(shell("exec sleep 60"), directory.path()).unwrap();
        let pid = process.pid();
        assert!(alive(pid));
        drop(process);
        assert!(!alive(pid));
    }

    #[test]
    fn a_process_outlives_the_thread_that_asked_for_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_owned();
        let asked = std::thread::spawn(move || {
            let process = Supervised::spawn(shell("exec sleep 60"), &path).unwrap();
            // Only then has setpriv made its request to the kernel.
            let name = format!("/proc/{}/comm", process.pid());
            while std::fs::read_to_string(&name).unwrap() != "sleep\n" {
                std::thread::sleep(Duration::from_millis(5));
            }
            process
        });
        let mut process = asked.join().unwrap();
        std::thread::sleep(Duration::from_millis(200));
        assert!(process.exited().is_none());
    }
}
