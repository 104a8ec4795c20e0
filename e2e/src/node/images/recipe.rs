//! How an image is made.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::{
    Image,
    layout::{self, Start},
};
use crate::{
    node::{debian::Packages, programs::Programs},
    tools,
};

/// Who runs in an image: nobody of the machine, and whoever a pod's `runAsUser` of 1000 is.
const ACCOUNTS: &str = "root:x:0:0:root:/:/bin/sh\nserver:x:1000:1000:server:/tmp:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n";
const GROUPS: &str = "root:x:0:\nserver:x:1000:\nnogroup:x:65534:\n";
const PATH: &str = "/usr/lib/postgresql/15/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// An image to be made.
pub struct Recipe {
    pub name: &'static str,
    pub content: Content,
    pub entrypoint: &'static [&'static str],
}

/// What is in an image.
pub enum Content {
    /// One static program, at the root, under the image's name.
    Program(fn(&Programs) -> Result<PathBuf>),
    /// Debian's packages, with busybox's links and a few accounts.
    Debian(Packages),
}

impl Recipe {
    pub fn make(&self, programs: &Programs) -> Result<Image> {
        let reference = format!("docker.io/library/{}:e2e", self.name);
        let source = match &self.content {
            Content::Program(of) => of(programs)?,
            Content::Debian(packages) => packages.unpacked()?,
        };
        let archive = layout::cached(self.name, &identity(&source)?)?;
        let image = Image { reference, archive };
        if image.archive.exists() {
            return Ok(image);
        }
        let parent = image.archive.parent().context("images without a directory")?.to_owned();
        let _lock = tools::lock(&parent, self.name)?;
        if image.archive.exists() {
            return Ok(image);
        }
        let making = tempfile::Builder::new().prefix(".image-").tempdir_in(&parent)?;
        let root = making.path().join("root");
        match &self.content {
            Content::Program(_) => {
                fs::create_dir_all(&root)?;
                fs::copy(&source, root.join(self.name)).with_context(|| source.display().to_string())?;
            }
            Content::Debian(_) => furnish(&source, &root)?,
        }
        let entrypoint = self.entrypoint.iter().map(ToString::to_string).collect();
        layout::write(
            &root,
            &image.reference,
            &Start { entrypoint, path: PATH },
            making.path(),
            &image.archive,
        )?;
        Ok(image)
    }
}

/// What tells a source from the one before it.
fn identity(source: &Path) -> Result<String> {
    let name = crate::node::programs::file_name(source);
    let metadata = fs::metadata(source).with_context(|| source.display().to_string())?;
    if metadata.is_dir() {
        // The directory is named by what was asked of Debian.
        return Ok(name.rsplit('-').next().unwrap_or_default().to_owned());
    }
    let changed = metadata.modified()?.duration_since(std::time::UNIX_EPOCH)?;
    Ok(format!("{}-{}", metadata.len(), changed.as_secs()))
}

/// What maintainers' scripts would have done.
fn furnish(source: &Path, root: &Path) -> Result<()> {
    let mut copy = Command::new("cp");
    copy.arg("--archive").arg(source).arg(root);
    tools::run(copy, &format!("copy {}", source.display()))?;
    // Since trixie everything is in /usr, and these are links to it.
    for merged in ["bin", "sbin", "lib", "lib64"] {
        let (place, in_usr) = (root.join(merged), Path::new("usr").join(merged));
        if !place.exists() && root.join(&in_usr).exists() {
            symlink(&in_usr, &place).with_context(|| place.display().to_string())?;
        }
    }
    for (directory, mode) in
        [("bin", 0o755), ("etc", 0o755), ("tmp", 0o1777), ("run", 0o1777), ("var/log", 0o755)]
    {
        let directory = root.join(directory);
        fs::create_dir_all(&directory)?;
        fs::set_permissions(&directory, fs::Permissions::from_mode(mode))?;
    }
    fs::write(root.join("etc/passwd"), ACCOUNTS)?;
    fs::write(root.join("etc/group"), GROUPS)?;
    let list = Command::new(root.join("bin/busybox")).arg("--list").output().context("run busybox")?;
    for applet in String::from_utf8_lossy(&list.stdout).lines() {
        let there =
            ["bin", "usr/bin", "sbin", "usr/sbin"].iter().any(|place| root.join(place).join(applet).exists());
        if !there && applet != "busybox" {
            symlink("/bin/busybox", root.join("bin").join(applet)).with_context(|| applet.to_owned())?;
        }
    }
    Ok(())
}
