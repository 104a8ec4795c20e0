//! The operator's image, by the recipe of `release/build` and with a binary of this source.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context as _, Result, ensure};

use super::{Image, layout};
use crate::tools;

/// Builds `subrosa` for the image and makes the image, unless the binary is the one it was made of.
///
/// `SUBROSA_E2E_IMAGE` names an archive that `release/build` made, which is then taken as it is. Otherwise it is a
/// binary that is built for debugging, in this tree: a release takes ten minutes, and is checked where it is made.
/// Everything else is the same: `release/Containerfile`, and what makes the layout and the archive.
pub fn image() -> Result<Image> {
    let workspace = tools::workspace()?;
    let version = env!("CARGO_PKG_VERSION");
    let reference = format!("docker.io/library/subrosa:{version}");
    if let Some(given) = std::env::var_os("SUBROSA_E2E_IMAGE").filter(|path| !path.is_empty()) {
        let archive = PathBuf::from(given);
        ensure!(archive.is_file(), "SUBROSA_E2E_IMAGE: {} is no file", archive.display());
        return Ok(Image { reference, archive });
    }
    // Tests that run beside each other wait here: two `rustup target add` at once fail.
    let directory = layout::directory()?;
    let _lock = tools::lock(&directory, "subrosa")?;
    tools::say("building the operator's static binary, if it changed (some minutes the first time)");
    let script = workspace.join("e2e/src/node/images/operator.sh");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.join("target"), PathBuf::from);
    let mut build = Command::new("bash");
    build.arg(&script).arg("binary").current_dir(&workspace).env("CARGO_TARGET_DIR", &target);
    if let Some(cargo) = std::env::var_os("CARGO") {
        build.env("CARGO", cargo);
    }
    let output = build.output().context("run bash")?;
    ensure!(
        output.status.success(),
        "{} binary:\n{}",
        script.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let binary = PathBuf::from(said.lines().last().unwrap_or_default());
    let metadata = fs::metadata(&binary).with_context(|| format!("the binary {}", binary.display()))?;
    let changed = metadata.modified()?.duration_since(std::time::UNIX_EPOCH)?.as_millis();
    let archive = layout::cached("subrosa", &format!("{}-{changed}", metadata.len()))?;
    if !archive.exists() {
        for entry in fs::read_dir(&directory)?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("subrosa-") && name.ends_with(".oci.tar") {
                // Of an older binary; nobody asks for it again.
                let _ = fs::remove_file(entry.path());
            }
        }
        let mut make = Command::new("bash");
        make.arg(&script).arg("image").arg(&binary).arg(&archive).current_dir(&workspace);
        tools::run(make, "making the operator's image")?;
    }
    Ok(Image { reference, archive })
}
