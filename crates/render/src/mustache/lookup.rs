//! Names, contexts and how mustache.js 2.2.1 finds the one in the other.

use super::data::{Data, Shape};
use crate::js;

/// A name as it stands in a tag, taken apart once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name {
    /// `{{.}}`, the current context.
    This,
    /// A key. A leading dot does not separate, so `.a` is the key `.a`.
    Key(Box<str>),
    /// `a.b.c`: every context is tried with the whole path.
    Path(Box<[Box<str>]>),
}

impl Name {
    /// Reads a name from the (already trimmed) content of a tag.
    pub fn new(text: &str) -> Name {
        if text == "." {
            Name::This
        } else if text.find('.').is_some_and(|at| at > 0) {
            Name::Path(text.split('.').map(Box::from).collect())
        } else {
            Name::Key(text.into())
        }
    }
}

/// The outcome of a lookup.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Found<V> {
    /// A value of the data, `null` included.
    Value(V),
    /// A value that JavaScript derives: the length of a list or text, one character of a text, a
    /// property of a prototype. It belongs to no line of the data.
    Derived(Derived),
    /// Nothing: renders as nothing and is false.
    Missing,
}

/// What JavaScript adds to data.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Derived {
    /// `list.length`, `text.length` (in UTF-16 units), `constructor.length`.
    Number(f64),
    /// `text.0`: one UTF-16 unit.
    Unit(u16),
    /// The name of a function, or what calling one gives.
    Text(&'static str),
    /// What `hasOwnProperty` and its like answer when called without an argument.
    No,
    /// What calling `Object` gives.
    EmptyMap,
    /// What calling `Array` gives.
    EmptyList,
    /// A method or constructor, called as soon as it is the result of a lookup.
    Function(Function),
}

/// The members of prototypes that a template could reach without causing an exception.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// `constructor`, by the name of its class.
    Constructor(&'static str),
    /// `toString` of `Object`: what kind of thing the innermost context is.
    Kind,
    /// `toString` of everything else, and `toLocaleString`: the innermost context itself.
    ToString(&'static str),
    /// `valueOf`: the innermost context itself.
    ValueOf,
    /// `hasOwnProperty`, `isPrototypeOf`, `propertyIsEnumerable`.
    Predicate(&'static str),
}

impl Function {
    fn name(self) -> &'static str {
        match self {
            Function::Constructor(name) | Function::ToString(name) | Function::Predicate(name) => name,
            Function::Kind => "toString",
            Function::ValueOf => "valueOf",
        }
    }

    fn arity(self) -> f64 {
        match self {
            Function::Constructor("Date") => 7.0,
            Function::Constructor(_) | Function::Predicate(_) => 1.0,
            Function::Kind | Function::ToString(_) | Function::ValueOf => 0.0,
        }
    }
}

/// A context and the contexts around it.
pub(super) struct Frame<'f, V> {
    pub(super) view: Found<V>,
    pub(super) outer: Option<&'f Frame<'f, V>>,
}

/// A plain name was looked up inside `null`, where JavaScript throws.
pub(super) struct InsideNull;

impl<'a, V: Data<'a>> Frame<'_, V> {
    /// `Context.prototype.lookup`: from the innermost context outwards until one *has* the name.
    /// When none has it, the last context's answer stands, which is how `{{text.length}}` works.
    pub(super) fn lookup(&self, name: &Name) -> Result<Found<V>, InsideNull> {
        let found = match name {
            Name::This => self.view,
            Name::Key(key) => {
                self.walk(|view| if view.is_nullish() { Err(InsideNull) } else { Ok(view.member(key)) })?
            }
            Name::Path(keys) => self.walk(|view| {
                let (mut value, mut hit) = (view, false);
                for (index, key) in keys.iter().enumerate() {
                    if value.is_nullish() {
                        break;
                    }
                    let (next, has) = value.member(key);
                    value = next;
                    hit = has && index + 1 == keys.len();
                }
                Ok((value, hit))
            })?,
        };
        Ok(match found {
            Found::Derived(Derived::Function(function)) => self.view.call(function),
            Found::Value(_) | Found::Derived(_) | Found::Missing => found,
        })
    }

    fn walk(
        &self,
        look: impl Fn(Found<V>) -> Result<(Found<V>, bool), InsideNull>,
    ) -> Result<Found<V>, InsideNull> {
        let mut frame = self;
        loop {
            let (value, hit) = look(frame.view)?;
            match frame.outer {
                Some(outer) if !hit => frame = outer,
                Some(_) | None => return Ok(value),
            }
        }
    }
}

impl<'a, V: Data<'a>> Found<V> {
    fn is_nullish(self) -> bool {
        match self {
            Found::Value(value) => value.shape() == Shape::Null,
            Found::Missing => true,
            Found::Derived(_) => false,
        }
    }

    /// `self[key]`, and whether mustache.js counts it as found (`key in self`, objects only).
    fn member(self, key: &str) -> (Found<V>, bool) {
        let (class, is_object) = match self {
            Found::Value(value) => match value.shape() {
                Shape::Map => match value.field(key) {
                    Some(value) => return (Found::Value(value), true),
                    None => ("Object", true),
                },
                Shape::List(len) => {
                    if key == "length" {
                        return (Found::Derived(Derived::Number(len as f64)), true);
                    }
                    let own = match index(key) {
                        Some(at) if at < len => value.item(at),
                        Some(_) | None => value.field(key),
                    };
                    if let Some(value) = own {
                        return (Found::Value(value), true);
                    }
                    ("Array", true)
                }
                Shape::Text(text) => {
                    if key == "length" {
                        let units = text.encode_utf16().count();
                        return (Found::Derived(Derived::Number(units as f64)), false);
                    }
                    if let Some(unit) = index(key).and_then(|at| text.encode_utf16().nth(at)) {
                        return (Found::Derived(Derived::Unit(unit)), false);
                    }
                    ("String", false)
                }
                Shape::Number(_) => ("Number", false),
                Shape::Bool(_) => ("Boolean", false),
                Shape::Date(_) => ("Date", true),
                Shape::Null => return (Found::Missing, false),
            },
            Found::Derived(derived) => match derived {
                Derived::Function(function) => match key {
                    "name" => return (Found::Derived(Derived::Text(function.name())), false),
                    "length" => return (Found::Derived(Derived::Number(function.arity())), false),
                    _ => ("Function", false),
                },
                Derived::EmptyMap => ("Object", true),
                Derived::EmptyList if key == "length" => return (Found::Derived(Derived::Number(0.0)), true),
                Derived::EmptyList => ("Array", true),
                Derived::Number(_) => ("Number", false),
                Derived::Text(text) if key == "length" => {
                    return (Found::Derived(Derived::Number(text.len() as f64)), false);
                }
                Derived::Unit(_) if key == "length" => {
                    return (Found::Derived(Derived::Number(1.0)), false);
                }
                Derived::Unit(_) if key == "0" => return (self, false),
                Derived::Text(_) | Derived::Unit(_) => ("String", false),
                Derived::No => ("Boolean", false),
            },
            Found::Missing => return (Found::Missing, false),
        };
        let function = match key {
            "constructor" => Function::Constructor(class),
            "toString" if class == "Object" => Function::Kind,
            "toString" => Function::ToString("toString"),
            "toLocaleString" => Function::ToString("toLocaleString"),
            "valueOf" => Function::ValueOf,
            "hasOwnProperty" => Function::Predicate("hasOwnProperty"),
            "isPrototypeOf" => Function::Predicate("isPrototypeOf"),
            "propertyIsEnumerable" => Function::Predicate("propertyIsEnumerable"),
            _ => return (Found::Missing, false),
        };
        (Found::Derived(Derived::Function(function)), is_object)
    }

    /// What `function.call(self)` gives.
    fn call(self, function: Function) -> Found<V> {
        Found::Derived(match function {
            Function::Constructor("Array") => Derived::EmptyList,
            Function::Constructor("String" | "Function") => Derived::Text(""),
            Function::Constructor("Number") => Derived::Number(0.0),
            Function::Constructor("Boolean") | Function::Predicate(_) => Derived::No,
            Function::Constructor(_) => Derived::EmptyMap,
            Function::ValueOf => return self,
            Function::ToString(_) => return self,
            Function::Kind => Derived::Text(match self {
                Found::Value(value) => match value.shape() {
                    Shape::Null => "[object Null]",
                    Shape::Bool(_) => "[object Boolean]",
                    Shape::Number(_) => "[object Number]",
                    Shape::Text(_) => "[object String]",
                    Shape::Date(_) => "[object Date]",
                    Shape::List(_) => "[object Array]",
                    Shape::Map => "[object Object]",
                },
                Found::Derived(derived) => match derived {
                    Derived::Number(_) => "[object Number]",
                    Derived::Unit(_) | Derived::Text(_) => "[object String]",
                    Derived::No => "[object Boolean]",
                    Derived::EmptyMap => "[object Object]",
                    Derived::EmptyList => "[object Array]",
                    Derived::Function(_) => "[object Function]",
                },
                Found::Missing => "[object Undefined]",
            }),
        })
    }

    /// JavaScript's truth, with mustache.js's addition for lists left to the caller.
    pub(super) fn is_true(self) -> bool {
        match self {
            Found::Value(value) => match value.shape() {
                Shape::Null => false,
                Shape::Bool(value) => value,
                Shape::Number(value) => value != 0.0 && !value.is_nan(),
                Shape::Text(text) => !text.is_empty(),
                Shape::Date(_) | Shape::List(_) | Shape::Map => true,
            },
            Found::Derived(derived) => match derived {
                Derived::Number(value) => value != 0.0,
                Derived::Text(text) => !text.is_empty(),
                Derived::No => false,
                Derived::Unit(_) | Derived::EmptyMap | Derived::EmptyList | Derived::Function(_) => true,
            },
            Found::Missing => false,
        }
    }

    /// Appends JavaScript's `String(value)`; nothing for `null` and what is missing.
    pub(super) fn print(self, out: &mut String) {
        match self {
            Found::Value(value) => print(value, out),
            Found::Derived(derived) => match derived {
                Derived::Number(value) => js::write_number(value, out),
                // Half of a surrogate pair is written to a file as the replacement character.
                Derived::Unit(unit) => {
                    out.push(char::from_u32(unit.into()).unwrap_or(char::REPLACEMENT_CHARACTER));
                }
                Derived::Text(text) => out.push_str(text),
                Derived::No => out.push_str("false"),
                Derived::EmptyMap => out.push_str("[object Object]"),
                Derived::EmptyList | Derived::Function(_) => {}
            },
            Found::Missing => {}
        }
    }
}

/// JavaScript's `String(value)`, but nothing for `null`.
pub(crate) fn text<'a, V: Data<'a>>(value: V) -> String {
    let mut out = String::new();
    print(value, &mut out);
    out
}

fn print<'a, V: Data<'a>>(value: V, out: &mut String) {
    match value.shape() {
        Shape::Null => {}
        Shape::Bool(value) => out.push_str(if value { "true" } else { "false" }),
        Shape::Number(value) => js::write_number(value, out),
        Shape::Text(text) => out.push_str(text),
        Shape::Date(millis) => js::write_date(millis, out),
        Shape::Map => out.push_str("[object Object]"),
        Shape::List(len) => {
            for index in 0..len {
                if index > 0 {
                    out.push(',');
                }
                if let Some(item) = value.item(index) {
                    print(item, out);
                }
            }
        }
    }
}

/// An array index in JavaScript's canonical form: `0`, `12`, never `01` or `+1`.
fn index(key: &str) -> Option<usize> {
    let canonical = key == "0" || (!key.starts_with('0') && key.bytes().all(|byte| byte.is_ascii_digit()));
    if canonical { key.parse().ok() } else { None }
}
