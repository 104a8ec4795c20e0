//! What tests read of sources, as text: the compiler allows every circle inside one crate.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The source files below `directories`, without those that are compiled for tests alone.
pub fn shipped_files(directories: &[PathBuf]) -> Vec<PathBuf> {
    let mut files = Vec::new();
    directories.iter().for_each(|directory| collect(directory, &mut files));
    let for_tests: Vec<_> = files.iter().flat_map(|file| test_modules(file)).collect();
    files.retain(|file| !for_tests.iter().any(|module| file.with_extension("").starts_with(module)));
    files
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The modules in files of their own that `file` declares for tests alone, as paths without an extension.
fn test_modules(file: &Path) -> Vec<PathBuf> {
    let text = fs::read_to_string(file).unwrap();
    let directory =
        if file.ends_with("mod.rs") { file.parent().unwrap().to_owned() } else { file.with_extension("") };
    let declared = text.split("#[cfg(test)]").skip(1).filter_map(|after| {
        let line = after.trim_start().lines().next()?;
        line.strip_prefix("pub(crate) ").unwrap_or(line).strip_prefix("mod ")?.strip_suffix(';')
    });
    declared.map(|name| directory.join(name)).collect()
}

/// What of a source file ships: no comments, and nothing from the first inline test module on, which stands last.
pub fn shipped(text: &str) -> String {
    let inline = text.match_indices("#[cfg(test)]").find(|(at, _)| {
        let line = text[at + "#[cfg(test)]".len()..].trim_start().lines().next().unwrap_or_default();
        line.contains("mod ") && line.ends_with('{')
    });
    let text = inline.map_or(text, |(at, _)| &text[..at]);
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// The modules of the crate that `text` names after `crate::`.
pub fn imports(text: &str) -> BTreeSet<String> {
    let first = |path: &str| -> String {
        path.trim_start().chars().take_while(|one| one.is_alphanumeric() || *one == '_').collect()
    };
    let mut found = BTreeSet::new();
    for (at, start) in text.match_indices("crate::") {
        let rest = &text[at + start.len()..];
        match rest.strip_prefix('{') {
            None => {
                found.insert(first(rest));
            }
            Some(tree) => found.extend(branches(tree).iter().map(|branch| first(branch))),
        }
    }
    found.remove("");
    found
}

/// The branches of a tree of imports, up to the brace that closes it.
fn branches(tree: &str) -> Vec<&str> {
    let (mut depth, mut begin, mut found) = (0, 0, Vec::new());
    for (at, one) in tree.char_indices() {
        match one {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                found.push(&tree[begin..at]);
                begin = at + 1;
                if one == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    found
}
