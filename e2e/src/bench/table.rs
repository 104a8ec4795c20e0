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
}

/// Tables of the same parts beside each other, each under the name of its program.
pub(super) fn beside(tables: &[(String, Table)]) -> String {
    let line = |cells: Vec<&str>| format!("| {} |\n", cells.join(" | "));
    let names = tables.iter().map(|(name, _)| name.as_str());
    let mut text = line(std::iter::once("measured").chain(names).collect());
    text += &line(vec!["---"; tables.len() + 1]);
    let mut whats: Vec<&str> = Vec::new();
    for (what, _) in tables.iter().flat_map(|(_, table)| &table.0) {
        if !whats.contains(&what.as_str()) {
            whats.push(what);
        }
    }
    for what in whats {
        let value =
            |table: &'_ Table| table.0.iter().find(|(one, _)| one == what).map(|(_, value)| value.clone());
        let values: Vec<_> = tables.iter().map(|(_, table)| value(table).unwrap_or_default()).collect();
        text += &line(std::iter::once(what).chain(values.iter().map(String::as_str)).collect());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_program_was_not_asked_is_empty() {
        let table = |rows: &[(&str, &str)]| {
            Table(rows.iter().map(|(what, value)| ((*what).to_owned(), (*value).to_owned())).collect())
        };
        let tables = [
            ("old".to_owned(), table(&[("writes", "4.1")])),
            ("new".to_owned(), table(&[("writes", "4.0"), ("reads", "1")])),
        ];
        let wanted =
            "| measured | old | new |\n| --- | --- | --- |\n| writes | 4.1 | 4.0 |\n| reads |  | 1 |\n";
        assert_eq!(beside(&tables), wanted);
    }
}
