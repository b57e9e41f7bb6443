//! What a template reads.

/// The kind of a value, as JavaScript would have had it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shape<'a> {
    /// `null`, and `undefined` for a key that is there without a value.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// Every number: JavaScript has doubles only.
    Number(f64),
    /// Text.
    Text(&'a str),
    /// An unquoted YAML timestamp, in milliseconds since 1970-01-01T00:00:00Z.
    Date(i64),
    /// A list of so many items.
    List(usize),
    /// A map.
    Map,
}

/// A read-only value tree. Implemented on a reference or handle, so copying is free and nothing is
/// cloned while rendering.
pub trait Data<'a>: Copy {
    /// What this value is.
    fn shape(self) -> Shape<'a>;

    /// The value of a map's own key. Also asked of lists, for the named keys that kit's merge
    /// leaves on a list over which a map was laid.
    fn field(self, key: &str) -> Option<Self>;

    /// The item of a list at `index`, counted from 0.
    fn item(self, index: usize) -> Option<Self>;
}
