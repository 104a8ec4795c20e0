//! File names for messages.

use std::path::Path;

/// The path without control characters: anybody who may write into a directory could use them to control a terminal
/// or forge log lines.
pub fn shown(path: &Path) -> String {
    path.to_string_lossy().chars().map(|one| if one.is_control() { '\u{fffd}' } else { one }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_steers_no_terminal_and_begins_no_line() {
        assert_eq!(shown(Path::new("a\x1b[2J\nb")), "a\u{fffd}[2J\u{fffd}b");
    }
}
