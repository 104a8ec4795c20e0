//! A text with headings.

use subrosa_crds::Reason;

use crate::cli::{harmless, output::Paint, table::Tone};

/// The text in progress.
pub struct Page {
    paint: Paint,
    text: String,
    next_steps: Vec<String>,
}

impl Page {
    /// An empty page.
    pub fn new(paint: Paint) -> Self {
        Self { paint, text: String::new(), next_steps: Vec::new() }
    }

    /// The title, with the condition Ready beside it.
    pub fn title(&mut self, object: &str, ready: Option<(&str, &str)>) {
        let (status, reason) = ready.unwrap_or(("Unknown", Reason::NotReconciled.as_str()));
        let tone = tone_of("Ready", status);
        let state = self.paint.tone(tone, &format!("Ready {status} ({})", harmless(reason)));
        let object = self.paint.bold(&harmless(object));
        self.text.push_str(&format!("{object}: {state}\n"));
    }

    /// The title of an object without conditions.
    pub fn heading(&mut self, text: &str) {
        self.text.push_str(&format!("{}\n", self.paint.bold(&harmless(text))));
    }

    /// Begins a section.
    pub fn section(&mut self, heading: &str) {
        let heading = self.paint.bold(heading);
        self.text.push_str(&format!("\n{heading}\n"));
    }

    /// A line of a section.
    pub fn line(&mut self, text: &str, tone: Tone) {
        let text = self.paint.tone(tone, &harmless(text));
        self.text.push_str(&format!("  {text}\n"));
    }

    /// A line below a line.
    pub fn below(&mut self, text: &str) {
        self.text.push_str(&format!("      {}\n", harmless(text)));
    }

    /// A fact with its name.
    pub fn fact(&mut self, name: &str, value: &str) {
        self.text.push_str(&format!("  {name:<14}{}\n", harmless(value)));
    }

    /// A next step, shown at the end.
    pub fn next_step(&mut self, step: &str) {
        let step = harmless(step);
        if !self.next_steps.contains(&step) {
            self.next_steps.push(step);
        }
    }

    /// The whole page.
    pub fn text(mut self) -> String {
        if !self.next_steps.is_empty() {
            self.section("Next steps");
            for (index, step) in std::mem::take(&mut self.next_steps).into_iter().enumerate() {
                self.text.push_str(&format!("  {}. {step}\n", index + 1));
            }
        }
        self.text
    }
}

/// The tone for a condition's status; for some conditions True is bad.
pub fn tone_of(condition: &str, status: &str) -> Tone {
    match (condition, status) {
        ("Stalled", "True") => Tone::Bad,
        ("Reconciling", "True") => Tone::Odd,
        (_, "True") => Tone::Good,
        // It waits for somebody else's consent; nothing here is broken.
        ("Connected", _) => Tone::Odd,
        (_, "False") => Tone::Bad,
        _ => Tone::Odd,
    }
}
