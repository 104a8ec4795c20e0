//! Images for a node. There is no registry: each is made here, of Debian's packages or of one program, kept in
//! `target/e2e/images`, and imported into the node's runtime.

mod layout;
mod operator;
mod recipe;

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::{debian::Packages, programs::Programs};
use crate::tools;
use recipe::{Content, Recipe};

/// What holds a pod's namespaces.
pub const PAUSE: &str = "docker.io/library/pause:e2e";

/// An image as an archive, and what a pod calls it.
#[derive(Clone, Debug)]
pub struct Image {
    /// What stands in a pod's `image`.
    pub reference: String,
    /// An OCI layout.
    pub archive: PathBuf,
}

const SHELL: &[&str] = &["/bin/sh"];
/// What packages name and no server here runs: maintainers' scripts and their languages, and a compiler.
pub const WITHOUT: &[&str] = &[
    "adduser",
    "debconf",
    "dpkg",
    "init-system-helpers",
    "iproute2",
    "libllvm14",
    "locales",
    "lsb-base",
    "perl",
    "perl-base",
    "postgresql-client-common",
    "postgresql-common",
    "python3",
    "sensible-utils",
    "ssl-cert",
    "sysvinit-utils",
    "tar",
    "tzdata",
];

/// Every image but the operator's, by name. Those of Debian have busybox's shell and tools, and OpenSSL.
const RECIPES: &[Recipe] = &[
    Recipe {
        name: "pause",
        content: Content::Debian(Packages {
            name: "pause",
            wanted: &["busybox-static"],
            without: WITHOUT,
            suite: None,
        }),
        entrypoint: &["/bin/sleep", "infinity"],
    },
    Recipe {
        name: "coredns",
        content: Content::Program(|programs| Ok(programs.coredns.clone())),
        entrypoint: &["/coredns"],
    },
    Recipe { name: "openbao", content: Content::Program(|_| tools::bao()), entrypoint: &["/openbao"] },
    Recipe {
        name: "client",
        content: Content::Debian(Packages {
            name: "client",
            wanted: &["busybox-static", "openssl"],
            without: WITHOUT,
            suite: None,
        }),
        entrypoint: SHELL,
    },
    Recipe {
        name: "postgresql",
        content: Content::Debian(Packages {
            name: "postgresql",
            wanted: &["busybox-static", "openssl", "postgresql-15", "postgresql-client-15"],
            without: WITHOUT,
            suite: None,
        }),
        entrypoint: SHELL,
    },
    Recipe {
        name: "nginx",
        content: Content::Debian(Packages {
            name: "nginx",
            wanted: &["busybox-static", "openssl", "nginx-light"],
            without: WITHOUT,
            suite: None,
        }),
        entrypoint: SHELL,
    },
    Recipe {
        name: "mosquitto",
        content: Content::Debian(Packages {
            name: "mosquitto",
            wanted: &["busybox-static", "openssl", "mosquitto", "mosquitto-clients"],
            without: WITHOUT,
            suite: None,
        }),
        entrypoint: SHELL,
    },
    Recipe {
        name: "kamailio",
        content: Content::Debian(Packages {
            name: "kamailio",
            wanted: &["busybox-static", "openssl", "kamailio", "kamailio-tls-modules"],
            without: WITHOUT,
            // That of bookworm is not to be reloaded while clients connect: docs/presets.md.
            suite: Some("trixie"),
        }),
        entrypoint: SHELL,
    },
];

/// Makes an image, unless it was made already: one of `client`, `postgresql`, `nginx`, `mosquitto`, `kamailio`,
/// `openbao`, `coredns`, `pause`, or `subrosa`, the operator of this source.
///
/// # Errors
/// When there is no recipe for that name, or it cannot be made.
pub fn image(name: &str, programs: &Programs) -> Result<Image> {
    if name == "subrosa" {
        return operator::image();
    }
    let known = || RECIPES.iter().map(|recipe| recipe.name).collect::<Vec<_>>().join(", ");
    let recipe = RECIPES.iter().find(|recipe| recipe.name == name);
    recipe.with_context(|| format!("no image {name:?}; there are {}, subrosa", known()))?.make(programs)
}
