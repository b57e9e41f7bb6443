//! A drawing that stays in place at the bottom of a terminal.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use super::Size;

/// How often the drawing changes at most.
const FRAME: Duration = Duration::from_millis(100);

/// The bottom of the terminal on stderr. Ends with the cursor where it was, also when dropped.
#[derive(Debug)]
pub struct Live<W: Write = io::Stderr> {
    out: W,
    /// Lines on the screen that are ours.
    height: usize,
    drawn: Option<Instant>,
}

impl Live {
    /// On stderr.
    #[must_use]
    pub fn on_stderr() -> Self {
        Self::new(io::stderr())
    }

    /// How large the terminal is now; 80 × 24 if it does not say.
    #[must_use]
    pub fn size() -> Size {
        let found = terminal_size::terminal_size_of(io::stderr());
        found.map_or(Size { width: 80, height: 24 }, |(width, height)| Size {
            width: usize::from(width.0),
            height: usize::from(height.0),
        })
    }
}

impl<W: Write> Live<W> {
    /// On any writer that understands the usual escapes.
    pub fn new(out: W) -> Self {
        Self { out, height: 0, drawn: None }
    }

    /// Whether the next drawing is due.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.drawn.is_none_or(|drawn| drawn.elapsed() >= FRAME)
    }

    /// Replaces the drawing.
    pub fn draw(&mut self, lines: &[String]) {
        self.drawn = Some(Instant::now());
        let text = lines.iter().map(|line| format!("{line}\u{1b}[K\n")).collect::<String>();
        let screen = format!("{}\u{1b}[?25l{text}\u{1b}[J", self.up());
        self.height = lines.len();
        self.write(&screen);
    }

    /// Writes lines that stay above the drawing.
    pub fn above(&mut self, text: &str) {
        let screen = format!("{}\u{1b}[J{}\n", self.up(), text.trim_end());
        self.height = 0;
        self.write(&screen);
    }

    /// Takes the drawing away.
    pub fn clear(&mut self) {
        let screen = format!("{}\u{1b}[J\u{1b}[?25h", self.up());
        self.height = 0;
        self.write(&screen);
    }

    fn up(&self) -> String {
        match self.height {
            0 => "\r".to_owned(),
            lines => format!("\r\u{1b}[{lines}A"),
        }
    }

    fn write(&mut self, text: &str) {
        // Nobody is left to tell when the terminal is gone.
        let _ = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
    }
}

impl<W: Write> Drop for Live<W> {
    fn drop(&mut self) {
        if self.drawn.is_some() {
            self.clear();
        }
    }
}
