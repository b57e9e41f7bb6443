//! Errors as the user reads them: a message, where, why, and what to do.

use std::fmt;

use serde::Serialize;

use crate::Exit;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// A lower-case sentence without a final period; the value last, after a colon.
    pub message: String,
    /// Lines of the input with a marker under what is meant, ready to print; empty if there is nothing to show.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub excerpt: String,
    /// Why, from the nearest cause to the root. A cause that repeats the message is left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// What gets the user on, with a command to run where there is one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
}

impl Problem {
    /// A problem that has no cause below it.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), excerpt: String::new(), causes: Vec::new(), hints: Vec::new() }
    }

    /// The problem that an error and its sources describe.
    pub fn from_error(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut problem = Self::new(error.to_string());
        let mut next = error.source();
        while let Some(source) = next {
            problem.push_cause(source.to_string());
            next = source.source();
        }
        problem
    }

    /// Puts what the program was trying to do above what went wrong.
    #[must_use]
    pub fn context(mut self, goal: impl Into<String>) -> Self {
        let was = std::mem::replace(&mut self.message, goal.into());
        self.causes.insert(0, was);
        self
    }

    /// Adds a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds the hint that an error may have.
    #[must_use]
    pub fn maybe_hint(mut self, hint: Option<String>) -> Self {
        self.hints.extend(hint);
        self
    }

    /// Adds an excerpt of the input.
    #[must_use]
    pub fn excerpt(mut self, excerpt: impl Into<String>) -> Self {
        self.excerpt = excerpt.into();
        self
    }

    fn push_cause(&mut self, cause: String) {
        // Libraries like to repeat their source's text; what was said is not said twice.
        let said = |text: &String| text.contains(&cause);
        if !cause.is_empty() && !said(&self.message) && !self.causes.iter().any(said) {
            self.causes.push(cause);
        }
    }
}

impl fmt::Display for Problem {
    /// The block that follows `error: `.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let indented = |text: &str, by: &str| text.trim_end().replace('\n', &format!("\n{by}"));
        write!(f, "{}", indented(&self.message, "  "))?;
        if !self.excerpt.is_empty() {
            write!(f, "\n{}", self.excerpt.trim_end_matches('\n'))?;
        }
        for cause in &self.causes {
            write!(f, "\n  caused by: {}", indented(cause, "             "))?;
        }
        for hint in &self.hints {
            write!(f, "\n  hint: {}", indented(hint, "        "))?;
        }
        Ok(())
    }
}

/// Why a program ends without having done its work: at least one problem, and the exit code.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What the shell is told.
    pub exit: Exit,
    /// Everything that is wrong, in a stable order.
    pub problems: Vec<Problem>,
}

impl Failure {
    /// A failure of one problem.
    pub fn new(exit: Exit, problem: Problem) -> Self {
        Self { exit, problems: vec![problem] }
    }

    /// Input that is not valid, found before anything was touched: code 2.
    pub fn invalid(problem: Problem) -> Self {
        Self::new(Exit::Invalid, problem)
    }

    /// Work that was tried and failed: code 1.
    pub fn failed(problem: Problem) -> Self {
        Self::new(Exit::Failed, problem)
    }

    /// Several independent problems with one code.
    pub fn all(exit: Exit, problems: Vec<Problem>) -> Self {
        debug_assert!(!problems.is_empty(), "a failure without a problem tells nobody anything");
        Self { exit, problems }
    }
}

impl From<anyhow::Error> for Failure {
    /// An error that carries no better code: code 1.
    fn from(error: anyhow::Error) -> Self {
        Self::failed(Problem::from_error(error.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Layer(&'static str, Option<Box<Layer>>);

    impl fmt::Display for Layer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl std::error::Error for Layer {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            self.1.as_deref().map(|layer| layer as _)
        }
    }

    #[test]
    fn a_cause_that_was_said_is_not_said_twice() {
        let root = Layer("refused", None);
        let middle = Layer("connect: refused", Some(Box::new(root)));
        let top = Layer("cannot reach `a`", Some(Box::new(middle)));
        assert_eq!(
            Problem::from_error(&top).hint("try `ping a`").to_string(),
            "cannot reach `a`\n  caused by: connect: refused\n  hint: try `ping a`"
        );
    }

    #[test]
    fn lines_of_one_text_stay_under_their_label() {
        let problem = Problem::new("a").context("goal").hint("x\ny");
        assert_eq!(problem.to_string(), "goal\n  caused by: a\n  hint: x\n        y");
    }
}
