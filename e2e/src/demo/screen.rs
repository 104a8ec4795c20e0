//! What the demo says: headings and lines on standard output, in colours on a terminal.

use std::io::{self, IsTerminal as _, Write};

use anyhow::Result;

/// Standard output, or a text in tests.
pub struct Screen {
    out: Box<dyn Write + Send>,
    terminal: bool,
    colours: bool,
    steps: u32,
    /// How many lines the table has that the next drawing replaces.
    drawn: usize,
}

impl Screen {
    /// Standard output. Colours only on a terminal, and not where `NO_COLOR` is set.
    pub fn stdout() -> Self {
        let terminal = io::stdout().is_terminal();
        let colours = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { out: Box::new(io::stdout()), terminal, colours, steps: 0, drawn: 0 }
    }

    /// Whether somebody looks on, so that a table may be drawn again and again.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    pub(super) fn title(&mut self, text: &str) -> Result<()> {
        let text = self.painted("1", text);
        self.write(&format!("{text}\n\n"))
    }

    /// A numbered heading.
    pub(super) fn step(&mut self, text: &str) -> Result<()> {
        self.steps += 1;
        let heading = self.painted("1", &format!("{}. {text}", self.steps));
        self.write(&format!("\n{heading}\n"))
    }

    /// What came of a step.
    pub(super) fn done(&mut self, text: &str) -> Result<()> {
        self.write(&indented(text))
    }

    /// Something that held, or did not.
    pub(super) fn judged(&mut self, held: bool, text: &str) -> Result<()> {
        let mark = if held { self.painted("32", "ok  ") } else { self.painted("31", "FAIL") };
        let rest = indented(text);
        let rest = rest.strip_prefix("   ").unwrap_or(&rest).replace("\n   ", "\n        ");
        self.write(&format!("   {mark} {}\n", rest.trim_end()))
    }

    /// Lines as they are, indented.
    pub(super) fn text(&mut self, text: &str) -> Result<()> {
        self.write(&indented(text))
    }

    pub(super) fn blank(&mut self) -> Result<()> {
        self.write("\n")
    }

    /// Draws lines in the place of those drawn before.
    pub(super) fn redraw(&mut self, lines: &[String]) -> Result<()> {
        let mut text = String::new();
        if self.drawn > 0 {
            text.push_str(&format!("\x1b[{}A\x1b[J", self.drawn));
        }
        lines.iter().for_each(|line| text.push_str(&indented(line)));
        self.drawn = lines.len();
        self.write(&text)
    }

    fn painted(&self, code: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn write(&mut self, text: &str) -> Result<()> {
        self.out.write_all(text.as_bytes())?;
        Ok(self.out.flush()?)
    }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("   {line}\n")).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    pub(crate) struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Captured {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    pub(crate) fn captured(terminal: bool) -> (Screen, Captured) {
        let captured = Captured::default();
        let out = Box::new(captured.clone());
        (Screen { out, terminal, colours: terminal, steps: 0, drawn: 0 }, captured)
    }

    #[test]
    fn without_a_terminal_there_is_nothing_but_text() {
        let (mut screen, captured) = captured(false);
        screen.title("Title").unwrap();
        screen.step("First").unwrap();
        screen.done("done").unwrap();
        screen.judged(true, "held\nas seen").unwrap();
        screen.judged(false, "broken").unwrap();
        let wanted = "Title\n\n\n1. First\n   done\n   ok   held\n        as seen\n   FAIL broken\n";
        assert_eq!(captured.text(), wanted);
    }

    #[test]
    fn a_table_is_drawn_over_the_one_before() {
        let (mut screen, captured) = captured(true);
        screen.redraw(&["a".into(), "b".into()]).unwrap();
        screen.redraw(&["c".into()]).unwrap();
        assert_eq!(captured.text(), "   a\n   b\n\x1b[2A\x1b[J   c\n");
    }
}
