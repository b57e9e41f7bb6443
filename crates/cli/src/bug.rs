//! A panic is a bug, and is told as one: where it happened, and never with a value in it, which could be a secret.

use std::any::Any;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};

use crate::{Exit, Failure, Printer, Problem};

/// What may be shown of a panic: a text of the source code as it is; of one that was put together at run time, nothing.
pub fn message(payload: &(dyn Any + Send)) -> &'static str {
    match payload.downcast_ref::<&'static str>() {
        Some(text) => text,
        None => "its message is not shown, because it can hold values",
    }
}

/// The problem that a panic is.
pub fn problem(payload: &(dyn Any + Send)) -> Problem {
    Problem::new(format!("this is a bug: {}", message(payload)))
        .hint("please report it, with the version and the line that says where")
}

/// Runs `program`; a panic in it becomes a failure. Panics of other threads are told where they happen.
pub(crate) fn guard(
    printer: &Printer,
    program: impl FnOnce(&Printer) -> Result<Exit, Failure>,
) -> Result<Exit, Failure> {
    let speaker = *printer;
    panic::set_hook(Box::new(move |info| speaker.warn(&place(info))));
    panic::catch_unwind(AssertUnwindSafe(|| program(printer)))
        .unwrap_or_else(|payload| Err(Failure::failed(problem(payload.as_ref()))))
}

fn place(info: &PanicHookInfo<'_>) -> String {
    match info.location() {
        Some(place) => format!("panicked at {}:{}:{}", place.file(), place.line(), place.column()),
        None => "panicked".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_was_put_together_is_not_shown() {
        let secret = String::from("hunter2");
        let printed = panic::catch_unwind(|| panic!("no place for {secret}")).unwrap_err();
        assert!(!message(printed.as_ref()).contains("hunter2"));
        let literal = panic::catch_unwind(|| panic!("the list is never empty")).unwrap_err();
        assert_eq!(message(literal.as_ref()), "the list is never empty");
    }
}
