//! Which template line and which values made which part of the output.
//!
//! Tracing is a second rendering on demand, for errors, `explain` and `reach`; the first one does not pay for it. A
//! `.mustache` template is watched by its observer. A minijinja template is rendered from a copy in which every line
//! begins with an invisible mark, over data that notes what is read; the marks are taken out of the output again, and
//! if what is left is not what the plain rendering gave (a template that counts characters, say), there is no trace.

mod jinja;

use std::ops::Range;
use std::sync::Arc;

use crate::mustache::{self, Found, Observer, Tag};
use crate::node::{Node, Origin};
use crate::plan::Renderer;
use crate::problem::Place;
use crate::template::Engine;
use crate::view::View;

/// A value that a template read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// Its name as far as it is known: `app.env[3].value`, or the tag of a `.mustache` template.
    pub path: Arc<str>,
    /// Where it came from.
    pub origin: Origin,
    /// Whether it was printed as it is; else it decided something, or went through a filter.
    pub printed: bool,
}

/// A part of the output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Its bytes.
    pub out: Range<usize>,
    /// The template line; the column is 0 where it is not known.
    pub template: Place,
    /// What was read for it.
    pub reads: Vec<Read>,
}

/// How an output came to be. Pieces are in order and cover it but for white space.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trace {
    /// The output.
    pub text: String,
    /// Its parts.
    pub pieces: Vec<Piece>,
}

impl Trace {
    /// The parts of an output line, counted from 1.
    pub fn line(&self, line: u32) -> Vec<&Piece> {
        let Some(range) = self.line_range(line) else { return Vec::new() };
        let touches = |piece: &&Piece| {
            piece.out.start < range.end && (piece.out.end > range.start || piece.out.start == range.start)
        };
        self.pieces.iter().filter(touches).collect()
    }

    fn line_range(&self, line: u32) -> Option<Range<usize>> {
        let mut start = 0;
        for (number, text) in (1..).zip(self.text.split('\n')) {
            if number == line {
                return Some(start..start + text.len() + 1);
            }
            start += text.len() + 1;
        }
        None
    }

    /// The template line that made the output at `line` and `column` (from 1), and the values printed in that line.
    pub fn at(&self, line: u32, column: u32) -> Option<(&Place, Vec<&Read>)> {
        let range = self.line_range(line)?;
        let offset = self.text[range.start..]
            .char_indices()
            .nth(column.saturating_sub(1) as usize)
            .map_or(range.start, |(at, _)| range.start + at);
        let pieces = self.line(line);
        let near = pieces.iter().rfind(|piece| piece.out.start <= offset).or(pieces.first());
        let place = match near {
            Some(piece) => &piece.template,
            // A line of nothing but white space belongs to what came before it.
            None => &self.pieces.iter().take_while(|piece| piece.out.start <= offset).last()?.template,
        };
        let reads = pieces.iter().flat_map(|piece| &piece.reads).filter(|read| read.printed).collect();
        Some((place, reads))
    }
}

impl Renderer {
    /// Renders `file` (relative to the folder of the resources) again, noting what is read. `None` if the output cannot
    /// be taken apart, or for copied files, which have the line numbers of their source.
    pub fn trace(&self, engine: Engine, file: &str, view: &View, plain: &str) -> Option<Trace> {
        let shown: Arc<str> = self.repository().template_name(file);
        let trace = match engine {
            Engine::Copy => return None,
            Engine::Mustache => {
                let template = self.templates().mustache(self.repository(), file).ok()?;
                let mut watch =
                    Watch { template: &template, file: shown, trace: Trace::default(), pending: Vec::new() };
                let mut text = String::new();
                // A template that fails half way still tells what its first half came from.
                let _ = template.render(&*view.root, &mut text, &mut watch);
                Trace { text, ..watch.trace }
            }
            Engine::Jinja => jinja::trace(self.repository(), file, view)?,
        };
        (trace.text == plain).then_some(trace)
    }
}

struct Watch<'t> {
    template: &'t mustache::Template,
    file: Arc<str>,
    trace: Trace,
    /// What sections asked for since the last part of the output.
    pending: Vec<Read>,
}

impl Watch<'_> {
    fn place(&self, offset: usize) -> Place {
        let at = self.template.position(offset);
        Place { file: self.file.clone(), line: at.line, column: at.column }
    }

    fn read(tag: &Tag, found: &Found<&Node>, printed: bool) -> Option<Read> {
        if let Found::Value(node) = found {
            Some(Read { path: (&*tag.text).into(), origin: node.origin, printed })
        } else {
            None
        }
    }
}

impl Observer<&Node> for Watch<'_> {
    fn text(&mut self, template: &Range<usize>, out: Range<usize>) {
        let source = &self.template.source()[template.clone()];
        let mut start = 0;
        // A piece for each line, so that every line of the output finds its line of the template.
        for line in source.split_inclusive('\n') {
            let piece = Piece {
                out: out.start + start..out.start + start + line.len(),
                template: self.place(template.start + start),
                reads: std::mem::take(&mut self.pending),
            };
            self.trace.pieces.push(piece);
            start += line.len();
        }
    }

    fn value(&mut self, tag: &Tag, found: Found<&Node>, out: Range<usize>) {
        let mut reads = std::mem::take(&mut self.pending);
        reads.extend(Self::read(tag, &found, true));
        let template = self.place(tag.span.start);
        self.trace.pieces.push(Piece { out, template, reads });
    }

    fn section(&mut self, tag: &Tag, found: Found<&Node>, _times: usize) {
        self.pending.extend(Self::read(tag, &found, false));
    }
}
