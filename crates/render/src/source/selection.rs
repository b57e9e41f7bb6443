//! Which clusters a run is about.

use globset::{Glob, GlobMatcher};

use crate::problem::Problem;

/// Which clusters.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    pub(super) names: Vec<(String, GlobMatcher)>,
    pub(super) types: Vec<(String, GlobMatcher)>,
}

impl Selection {
    /// Clusters whose name matches one of `names` and whose type matches one of `types`; an empty list matches all.
    ///
    /// # Errors
    /// A pattern that is none.
    pub fn new(names: &[String], types: &[String]) -> Result<Self, Problem> {
        Ok(Self { names: patterns(names)?, types: patterns(types)? })
    }

    /// Whether everything is selected.
    pub fn is_all(&self) -> bool {
        self.names.is_empty() && self.types.is_empty()
    }

    pub(super) fn has_name(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|(_, glob)| glob.is_match(name))
    }

    pub(super) fn has_type(&self, kind: &str) -> bool {
        self.types.is_empty() || self.types.iter().any(|(_, glob)| glob.is_match(kind))
    }

    /// Whether a `cluster.yaml` with this text may have a selected name. Names stand in the text as they are unless
    /// they are written with escapes.
    pub(super) fn may_match(&self, text: &str) -> bool {
        self.names.is_empty()
            || text.contains('\\')
            || self.names.iter().any(|(pattern, _)| is_pattern(pattern) || text.contains(pattern.as_str()))
    }
}

fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '[', '{'])
}

/// Compiles patterns (`*`, `?`, `[…]`, `{a,b}`).
///
/// # Errors
/// A pattern that is none.
pub fn patterns(texts: &[String]) -> Result<Vec<(String, GlobMatcher)>, Problem> {
    let compile = |text: &String| match Glob::new(text) {
        Ok(glob) => Ok((text.clone(), glob.compile_matcher())),
        Err(error) => Err(Problem::new(format!("not a pattern: `{text}`")).cause(error.kind().to_string())),
    };
    texts.iter().map(compile).collect()
}
