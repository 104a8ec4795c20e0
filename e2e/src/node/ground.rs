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
    // Dropped in this order: the files say which control groups have to go.
    _janitor: Janitor,
    directory: WorkDirectory,
}

impl Ground {
    /// Makes all of it.
    ///
    /// # Errors
    /// When the machine does not allow it.
    pub fn prepare(programs: &Programs) -> Result<Self> {
        let directory = WorkDirectory::create()?;
        let space = Space::create(directory.path())?;
        let network = Network::create(&space, programs)?;
        let janitor = Janitor::watch(directory.path(), &network.link())?;
        Ok(Self { space, network, _janitor: janitor, directory })
    }

    /// Its namespaces.
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// Its addresses.
    pub fn network(&self) -> Network {
        self.network
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
        let groups = janitor::groups(self.directory());
        all.extend(groups.iter().map(|group| group.display().to_string()));
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
