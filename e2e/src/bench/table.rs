//! The table, in Markdown.

/// Rows of what was measured.
#[derive(Default)]
pub(super) struct Table(Vec<(String, String)>);

impl Table {
    /// Adds a row, and shows it at once.
    pub(super) fn row(&mut self, what: &str, value: String) {
        crate::tools::say(&format!("  {what}: {value}"));
        self.0.push((what.to_owned(), value));
    }

    pub(super) fn text(&self) -> String {
        let rows = self.0.iter().map(|(what, value)| format!("| {what} | {value} |\n"));
        std::iter::once("| measured | value |\n| --- | --- |\n".to_owned()).chain(rows).collect()
    }
}
