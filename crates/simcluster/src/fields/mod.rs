//! Who owns which field: sets of field paths, the typed walks that produce them, and server-side apply.

pub(crate) mod managers;
pub(crate) mod set;
pub(crate) mod typed;
