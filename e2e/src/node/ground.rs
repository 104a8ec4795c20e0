//! What a node stands on: its files, its namespaces, its network, and who cleans up after it.

use std::{fs, path::Path};

use anyhow::Result;

use super::{
    janitor::{self, Janitor},
    network::Network,
    programs::Programs,
    space::Space,
};
use crate::directory::WorkDirectory;

/// Made first and gone last.
pub struct Ground {
    space: Space,
    network: Network,
    cgroup: String,
    // Dropped in this order: files go when nothing runs, control groups when nothing is in them.
    directory: WorkDirectory,
    _janitor: Janitor,
}

impl Ground {
    /// Makes all of it.
    ///
    /// # Errors
    /// When the machine does not allow it.
    pub fn prepare(programs: &Programs) -> Result<Self> {
        janitor::sweep();
        let directory = WorkDirectory::create()?;
        let space = Space::create(directory.path())?;
        let network = Network::create(&space, programs)?;
        let cgroup = janitor::cgroup_of(directory.path());
        let janitor = Janitor::watch(directory.path(), &cgroup, &network.link())?;
        Ok(Self { space, network, cgroup, directory, _janitor: janitor })
    }

    /// Its namespaces.
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// Its addresses.
    pub fn network(&self) -> Network {
        self.network
    }

    /// The control group that all pods are in.
    pub fn cgroup(&self) -> &str {
        &self.cgroup
    }

    /// Its files.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The paths of everything that must be gone when the node is: its files, its interface, its control groups and
    /// every process in its namespaces.
    pub fn leavings(&self) -> Vec<String> {
        let mut all =
            vec![self.directory().display().to_string(), format!("/sys/class/net/{}", self.network.link())];
        let groups = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
        let groups =
            groups.map(|controller| controller.path().join(&self.cgroup)).filter(|group| group.exists());
        all.extend(groups.map(|group| group.display().to_string()));
        let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        let own = namespace(&self.space.first().to_string());
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let processes = processes.map(|entry| entry.file_name().to_string_lossy().into_owned());
        all.extend(
            processes.filter(|pid| own.is_some() && namespace(pid) == own).map(|pid| format!("/proc/{pid}")),
        );
        all
    }

    /// Ends everything on it.
    pub fn end(&mut self) {
        self.space.end();
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        self.end();
    }
}
