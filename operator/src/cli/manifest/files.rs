//! Selects and reads the files.

use std::{
    ffi::OsStr,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result, bail};

use super::{Manifest, parse};
use crate::cli::finding::Finding;

/// Where manifests come from.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Sources {
    /// A file, a directory (its *.yaml, *.yml and *.json) or - for standard input; may be given again
    #[arg(short = 'f', long = "filename", value_name = "FILE|DIR|-")]
    pub files: Vec<PathBuf>,
    /// Read directories below the given ones too
    #[arg(short = 'R', long, requires = "files")]
    pub recursive: bool,
}

/// The manifests of `sources` in order, and YAML errors.
///
/// # Errors
/// When a file or directory cannot be read, or a directory has no manifest.
pub fn read(sources: &Sources) -> Result<(Vec<Manifest>, Vec<Finding>)> {
    let (mut manifests, mut findings) = (Vec::new(), Vec::new());
    let mut paths = Vec::new();
    for given in &sources.files {
        let before = paths.len();
        if given.is_dir() {
            list(given, sources.recursive, &mut paths)?;
            if paths.len() == before {
                bail!(
                    "{}: no *.yaml, *.yml or *.json in this directory; -R reads those below it too",
                    given.display()
                );
            }
        } else {
            paths.push(given.clone());
        }
    }
    for (order, path) in paths.iter().enumerate() {
        let (name, text) = load(path)?;
        let (more, wrong) = parse(&name, order, &text);
        manifests.extend(more);
        findings.extend(wrong);
    }
    Ok((manifests, findings))
}

fn load(path: &Path) -> Result<(Arc<str>, String)> {
    if path.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("standard input is no text in UTF-8")?;
        return Ok((Arc::from("standard input"), text));
    }
    let text = fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    Ok((Arc::from(path.display().to_string()), text))
}

/// Sorted by name, so that the order is the same everywhere.
fn list(directory: &Path, recursive: bool, paths: &mut Vec<PathBuf>) -> Result<()> {
    let unreadable = || format!("{} cannot be read", directory.display());
    let mut entries: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(directory).with_context(unreadable)? {
        entries.push(entry.with_context(unreadable)?.path());
    }
    entries.sort();
    for path in entries {
        if path.is_dir() {
            if recursive {
                list(&path, recursive, paths)?;
            }
        } else if path
            .extension()
            .and_then(OsStr::to_str)
            .is_some_and(|end| matches!(end, "yaml" | "yml" | "json"))
        {
            paths.push(path);
        }
    }
    Ok(())
}
