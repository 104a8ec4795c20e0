//! Tables in the style of kubectl: columns without lines.

/// How a cell is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// As it is.
    #[default]
    Plain,
    /// As it should be.
    Good,
    /// Not as it should be.
    Bad,
    /// Unknown, waiting or soon.
    Odd,
    /// Can be skipped.
    Faint,
}

use super::output::Paint;

impl Paint {
    /// Shows `text` in that tone.
    pub fn tone(self, tone: Tone, text: &str) -> String {
        match tone {
            Tone::Plain => text.to_owned(),
            Tone::Good => self.good(text),
            Tone::Bad => self.bad(text),
            Tone::Odd => self.odd(text),
            Tone::Faint => self.faint(text),
        }
    }
}

/// One cell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A cell of that tone.
    pub fn new(text: impl Into<String>, tone: Tone) -> Self {
        Self { text: text.into(), tone }
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::new(text, Tone::Plain)
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::new(text, Tone::Plain)
    }
}

/// A row, and lines below it that are no columns.
#[derive(Clone, Debug, Default)]
struct Row {
    cells: Vec<Cell>,
    below: Vec<Cell>,
}

/// A table.
#[derive(Clone, Debug)]
pub struct Table {
    head: Vec<Cell>,
    rows: Vec<Row>,
}

impl Table {
    /// A table with these headings.
    pub fn new<const N: usize>(head: [&str; N]) -> Self {
        Self { head: head.map(Cell::from).to_vec(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row<const N: usize>(&mut self, cells: [Cell; N]) {
        self.rows.push(Row { cells: cells.to_vec(), below: Vec::new() });
    }

    /// Adds a line below the last row.
    pub fn below(&mut self, line: Cell) {
        if let Some(row) = self.rows.last_mut() {
            row.below.push(line);
        }
    }

    /// The table as text. Widths are computed without colours.
    pub fn text(&self, paint: Paint) -> String {
        let mut widths: Vec<usize> = self.head.iter().map(Cell::width).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(&row.cells) {
                *width = (*width).max(cell.width());
            }
        }
        let mut text = line(&self.head, &widths, |cell| paint.bold(&cell.text));
        for row in &self.rows {
            text.push_str(&line(&row.cells, &widths, |cell| paint.tone(cell.tone, &cell.text)));
            for below in &row.below {
                text.push_str(&format!("    {}\n", paint.tone(below.tone, &below.text)));
            }
        }
        text
    }
}

fn line(cells: &[Cell], widths: &[usize], show: impl Fn(&Cell) -> String) -> String {
    let mut text = String::new();
    let last = cells.len().saturating_sub(1);
    for (index, (cell, width)) in cells.iter().zip(widths).enumerate() {
        text.push_str(&show(cell));
        if index < last {
            let gap = width.saturating_sub(cell.width()) + 3;
            text.push_str(&" ".repeat(gap));
        }
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other_with_and_without_colours() {
        let mut table = Table::new(["NAME", "READY"]);
        table.row(["db".into(), Cell::new("True", Tone::Good)]);
        table.below(Cell::new("next: nothing", Tone::Faint));
        table.row(["façade".into(), Cell::new("False", Tone::Bad)]);
        let plain = table.text(Paint(false));
        assert_eq!(plain, "NAME     READY\ndb       True\n    next: nothing\nfaçade   False\n");
        let coloured = table.text(Paint(true));
        assert!(coloured.contains("\x1b[32mTrue") && coloured.contains("db       \x1b"), "{coloured:?}");
    }
}
