//! Writing an OCI image of one layer, as an archive that containerd imports.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::tools::run;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// What a container starts as, unless its pod says otherwise.
pub struct Start {
    /// The program and its arguments.
    pub entrypoint: Vec<String>,
    /// Where programs are looked for.
    pub path: &'static str,
}

/// Makes the files under `root` the image `reference`, as an archive at `archive`. `making` is a directory for the
/// parts of it.
///
/// # Errors
/// When a file cannot be read or written.
pub fn write(root: &Path, reference: &str, start: &Start, making: &Path, archive: &Path) -> Result<()> {
    let layout = making.join("layout");
    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(&blobs).with_context(|| format!("create {}", blobs.display()))?;

    let layer = making.join("layer.tar");
    tar(&layer, root, &["."])?;
    let layer = keep(&blobs, &layer)?;
    let config = json!({
        "os": "linux",
        "architecture": architecture(),
        "config": {"Entrypoint": start.entrypoint, "Env": [format!("PATH={}", start.path)], "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [layer.digest]},
    });
    let config = keep_json(making, &blobs, &config)?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config.descriptor(CONFIG),
        "layers": [layer.descriptor(LAYER)],
    });
    let manifest = keep_json(making, &blobs, &manifest)?;
    let mut entry = manifest.descriptor(MANIFEST);
    if let Some(entry) = entry.as_object_mut() {
        entry.insert("annotations".to_owned(), json!({"io.containerd.image.name": reference}));
    }
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]});
    fs::write(layout.join("index.json"), index.to_string())?;
    fs::write(layout.join("oci-layout"), json!({"imageLayoutVersion": "1.0.0"}).to_string())?;

    // It appears under its name only when it is whole.
    let whole = making.join("whole.tar");
    tar(&whole, &layout, &["blobs", "index.json", "oci-layout"])?;
    fs::rename(&whole, archive).with_context(|| format!("put {} in place", archive.display()))
}

struct Blob {
    digest: String,
    size: u64,
}

impl Blob {
    fn descriptor(&self, media_type: &str) -> Value {
        json!({"mediaType": media_type, "digest": self.digest, "size": self.size})
    }
}

fn keep_json(making: &Path, blobs: &Path, content: &Value) -> Result<Blob> {
    let file = making.join("blob.json");
    fs::write(&file, content.to_string())?;
    keep(blobs, &file)
}

/// Moves a file among the blobs, under the name of its content.
fn keep(blobs: &Path, file: &Path) -> Result<Blob> {
    let hash = sha256(file)?;
    let size = fs::metadata(file)?.len();
    fs::rename(file, blobs.join(&hash)).with_context(|| format!("keep {}", file.display()))?;
    Ok(Blob { digest: format!("sha256:{hash}"), size })
}

/// By coreutils: hundreds of megabytes are slow in a program that is built for debugging.
pub fn sha256(file: &Path) -> Result<String> {
    let output = Command::new("sha256sum").arg(file).output().context("run sha256sum")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let hash = text.split_whitespace().next().map(|word| word.trim_start_matches('\\').to_owned());
    hash.filter(|hash| hash.len() == 64).with_context(|| format!("sha256sum of {}", file.display()))
}

/// The same files give the same archive.
fn tar(archive: &Path, directory: &Path, what: &[&str]) -> Result<()> {
    let mut tar = Command::new("tar");
    tar.args([
        "--create",
        "--format=gnu",
        "--sort=name",
        "--mtime=@0",
        "--owner=0",
        "--group=0",
        "--numeric-owner",
    ]);
    tar.arg("--file").arg(archive).arg("--directory").arg(directory).args(what);
    run(tar, &format!("tar {}", directory.display()))
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "arm64",
        _ => "amd64",
    }
}

/// Where archives are kept.
pub fn directory() -> Result<PathBuf> {
    let directory = crate::tools::directory()?.join("images");
    fs::create_dir_all(&directory).with_context(|| format!("create {}", directory.display()))?;
    Ok(directory)
}

/// An archive's place among the cached ones.
pub fn cached(name: &str, digest: &str) -> Result<PathBuf> {
    Ok(directory()?.join(format!("{name}-{digest}.oci.tar")))
}
