//! `subrosa crds`: the CustomResourceDefinitions.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use super::{exit::Exit, output::Screen};

const EXAMPLES: &str = "\
Examples:
  subrosa crds | kubectl apply --server-side -f -
  subrosa crds --write crds/yaml
  subrosa crds --check crds/yaml      # exit code 1 when a file differs";

/// Prints the CustomResourceDefinitions of this API
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Write them into this directory, a file a kind
    #[arg(long, value_name = "DIR", conflicts_with = "check")]
    write: Option<PathBuf>,
    /// Compare them with the files in this directory
    #[arg(long, value_name = "DIR")]
    check: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// When files cannot be read or written.
pub fn run(args: &Args, screen: &mut Screen) -> Result<Exit> {
    let files = subrosa_crds::yaml::files()?;
    if let Some(directory) = &args.write {
        return write(&files, directory, screen);
    }
    if let Some(directory) = &args.check {
        return check(&files, directory, screen);
    }
    let mut text = String::new();
    for (_, file) in &files {
        text.push_str("---\n");
        text.push_str(file.strip_prefix("---\n").unwrap_or(file));
        if !text.ends_with('\n') {
            text.push('\n');
        }
    }
    screen.print(&text)?;
    Ok(Exit::Done)
}

fn write(files: &[(String, String)], directory: &Path, screen: &mut Screen) -> Result<Exit> {
    fs::create_dir_all(directory).with_context(|| format!("{} cannot be made", directory.display()))?;
    for (name, text) in files {
        let path = directory.join(name);
        // An unchanged file keeps its modification time, so that nothing is rebuilt.
        if found(&path)?.as_ref() != Some(text) {
            fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))?;
            screen.say(&format!("{}: written", path.display()))?;
        }
    }
    Ok(Exit::Done)
}

fn check(files: &[(String, String)], directory: &Path, screen: &mut Screen) -> Result<Exit> {
    let mut exit = Exit::Done;
    let mut differs = |screen: &mut Screen, path: &Path, what: &str| {
        exit = Exit::Wrong;
        screen.say(&format!("{}: {what}: run subrosa crds --write {}", path.display(), directory.display()))
    };
    for (name, text) in files {
        let path = directory.join(name);
        match found(&path)? {
            None => differs(screen, &path, "missing")?,
            Some(found) if &found != text => differs(screen, &path, "differs from the API of this version")?,
            Some(_) => {}
        }
    }
    // Otherwise the file of a removed kind would be applied for ever.
    let known: BTreeMap<_, _> = files.iter().map(|(name, text)| (name.as_str(), text)).collect();
    let prefix = format!("{}_", subrosa_crds::GROUP);
    for entry in fs::read_dir(directory).with_context(|| format!("{} cannot be read", directory.display()))? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with(&prefix) && !known.contains_key(name) {
            differs(screen, &path, "is of no kind of this version: remove it")?;
        }
    }
    Ok(exit)
}

fn found(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(write: Option<&Path>, check: Option<&Path>) -> (Exit, String, String) {
        let (mut screen, captured) = Screen::captured();
        let args = Args { write: write.map(Path::to_owned), check: check.map(Path::to_owned) };
        let exit = run(&args, &mut screen).unwrap();
        (exit, captured.printed(), captured.said())
    }

    #[test]
    fn the_stream_holds_every_kind() {
        let (exit, printed, _) = ran(None, None);
        assert_eq!(exit, Exit::Done);
        assert_eq!(printed.matches("kind: CustomResourceDefinition\n").count(), subrosa_crds::all().len());
        assert!(printed.starts_with("---\napiVersion"), "{}", &printed[..40]);
    }

    #[test]
    fn what_was_written_passes_the_check_until_somebody_edits_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        assert_eq!(ran(None, Some(path)).0, Exit::Wrong, "nothing is there yet");
        assert_eq!(ran(Some(path), None).0, Exit::Done);
        assert_eq!(ran(None, Some(path)).0, Exit::Done);
        assert_eq!(ran(Some(path), None).2, "", "nothing is written twice");
        let file = path.join("subrosa.dev_channels.yaml");
        fs::write(&file, fs::read_to_string(&file).unwrap().replace("Channel", "Chanel")).unwrap();
        fs::write(path.join("subrosa.dev_olds.yaml"), "").unwrap();
        let (exit, _, said) = ran(None, Some(path));
        assert_eq!(exit, Exit::Wrong);
        assert!(
            said.contains("channels.yaml: differs") && said.contains("olds.yaml: is of no kind"),
            "{said}"
        );
    }
}
