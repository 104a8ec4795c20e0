//! The only place that prints: results go to standard output, everything else to standard error.

use std::io::{self, IsTerminal as _, Write};

use owo_colors::OwoColorize as _;

/// When colours are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Colour {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Where a command writes.
pub struct Screen {
    out: Box<dyn Write>,
    err: Box<dyn Write>,
    out_paint: Paint,
    err_paint: Paint,
    redraws: bool,
}

impl Screen {
    /// The process' own standard output and error.
    pub fn process(colour: Colour) -> Self {
        let wanted = |terminal: bool| match colour {
            Colour::Always => true,
            Colour::Never => false,
            // https://no-color.org: any value but the empty one.
            Colour::Auto => terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        };
        let (out, err) = (io::stdout(), io::stderr());
        let redraws = out.is_terminal();
        Self {
            out_paint: Paint(wanted(redraws)),
            err_paint: Paint(wanted(err.is_terminal())),
            redraws,
            out: Box::new(out),
            err: Box::new(err),
        }
    }

    /// A screen whose output can be read back, for tests.
    #[cfg(test)]
    pub fn captured() -> (Self, Captured) {
        let captured = Captured::default();
        let screen = Self {
            out: Box::new(captured.out.clone()),
            err: Box::new(captured.err.clone()),
            out_paint: Paint(false),
            err_paint: Paint(false),
            redraws: false,
        };
        (screen, captured)
    }

    /// Writes a result.
    ///
    /// # Errors
    /// When standard output cannot be written, for example because the pipe is closed.
    pub fn print(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    /// Writes a message on a line of its own.
    ///
    /// # Errors
    /// When standard error cannot be written.
    pub fn say(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.err, "{text}")
    }

    /// The colours of standard output.
    pub fn paint(&self) -> Paint {
        self.out_paint
    }

    /// The colours of standard error.
    pub fn paint_said(&self) -> Paint {
        self.err_paint
    }

    /// Whether new output replaces the old one on the screen.
    pub fn redraws(&self) -> bool {
        self.redraws
    }

    /// Begins new output; on a terminal the old one is cleared.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn clear(&mut self) -> io::Result<()> {
        if self.redraws { self.print("\x1b[H\x1b[2J\x1b[3J") } else { self.print("\n") }
    }
}

/// Colours, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paint(pub bool);

impl Paint {
    /// A good value.
    pub fn good(self, text: &str) -> String {
        if self.0 { text.green().to_string() } else { text.to_owned() }
    }

    /// A bad value.
    pub fn bad(self, text: &str) -> String {
        if self.0 { text.red().to_string() } else { text.to_owned() }
    }

    /// An unknown, waiting or approaching value.
    pub fn odd(self, text: &str) -> String {
        if self.0 { text.yellow().to_string() } else { text.to_owned() }
    }

    /// A heading.
    pub fn bold(self, text: &str) -> String {
        if self.0 { text.bold().to_string() } else { text.to_owned() }
    }

    /// Less important text.
    pub fn faint(self, text: &str) -> String {
        if self.0 { text.dimmed().to_string() } else { text.to_owned() }
    }
}

#[cfg(test)]
pub use captured::Captured;

#[cfg(test)]
mod captured {
    use std::{
        io::{self, Write},
        sync::{Arc, Mutex, PoisonError},
    };

    /// What a captured screen was given.
    #[derive(Clone, Default)]
    pub struct Captured {
        pub(super) out: Buffer,
        pub(super) err: Buffer,
    }

    impl Captured {
        /// What went to standard output.
        pub fn printed(&self) -> String {
            self.out.text()
        }

        /// What went to standard error.
        pub fn said(&self) -> String {
            self.err.text()
        }
    }

    #[derive(Clone, Default)]
    pub(super) struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Buffer {
        fn text(&self) -> String {
            let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            String::from_utf8_lossy(&bytes).into_owned()
        }
    }

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}
