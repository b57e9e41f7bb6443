//! What made each line of an output, for the index: so that `deployer trace` finds its way back without rendering.

use std::path::Path;

use manifest::index::{LineOrigin, Lines};

use crate::node::Origin;
use crate::plan::Renderer;
use crate::template::Engine;
use crate::view::View;

impl Renderer {
    /// The template line and the places of the values of every line of `text` that has any. Places only, never values.
    pub(crate) fn lines(&self, engine: Engine, relative: &str, view: &View, text: &str) -> Lines {
        let rooted = |file: &str, line: u32| {
            let file = self.repository().rooted(Path::new(file));
            if line == 0 { file } else { format!("{file}:{line}") }
        };
        let numbers = 1..=u32::try_from(text.lines().count()).unwrap_or(u32::MAX);
        if engine == Engine::Copy {
            let source = self.repository().template_name(relative);
            let copied = |line| LineOrigin { template: Some(rooted(&source, line)), values: Vec::new() };
            return numbers.map(|line| (line, copied(line))).collect();
        }
        let Some(trace) = self.trace(engine, relative, view, text) else { return Lines::new() };
        let place =
            |origin: &Origin| self.repository().place(origin).map(|place| rooted(&place.file, place.line));
        let mut lines = Lines::new();
        for (line, shown) in numbers.zip(text.lines()) {
            // The first visible character: indentation may be a part of what came before.
            let column =
                u32::try_from(shown.chars().take_while(|c| c.is_whitespace()).count()).unwrap_or(0) + 1;
            let template = trace.at(line, column).map(|(place, _)| rooted(&place.file, place.line));
            let mut values = Vec::new();
            for read in trace.line(line).iter().flat_map(|piece| &piece.reads) {
                if let Some(place) = place(&read.origin).filter(|place| !values.contains(place)) {
                    values.push(place);
                }
            }
            if template.is_some() || !values.is_empty() {
                lines.insert(line, LineOrigin { template, values });
            }
        }
        lines
    }
}
