//! A file's name for people.

use std::path::Path;

/// The name without what would steer a terminal or begin a line of its own in a log: whoever writes into a directory chooses names.
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
