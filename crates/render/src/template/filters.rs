//! Filters for manifests. All are pure: the same input gives the same output on every machine.

// minijinja's enums are open-ended, and its errors carry what the dropped ones say.
#![allow(clippy::wildcard_enum_match_arm, clippy::map_err_ignore)]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Value};
use sha2::{Digest as _, Sha256};

/// The filters that people may have meant.
pub(super) const NAMES: [&str; 43] = [
    "kit_escape",
    "toyaml",
    "tojson",
    "fromyaml",
    "fromjson",
    "indent",
    "nindent",
    "b64encode",
    "b64decode",
    "sha256",
    "quote",
    "squote",
    "required",
    "default",
    "d",
    "abs",
    "batch",
    "bool",
    "capitalize",
    "dictsort",
    "first",
    "float",
    "groupby",
    "int",
    "items",
    "join",
    "last",
    "length",
    "lines",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "reject",
    "replace",
    "reverse",
    "round",
    "select",
    "sort",
    "title",
    "trim",
    "upper",
];

pub(super) fn add(environment: &mut Environment<'static>) {
    environment.add_filter("toyaml", toyaml);
    environment.add_filter("kit_escape", kit_escape);
    environment.add_filter("to_yaml", toyaml);
    environment.add_filter("tojson", tojson);
    environment.add_filter("fromyaml", fromyaml);
    environment.add_filter("fromjson", fromjson);
    environment.add_filter("indent", indent);
    environment.add_filter("nindent", nindent);
    environment.add_filter("b64encode", b64encode);
    environment.add_filter("b64decode", b64decode);
    environment.add_filter("sha256", sha256);
    environment.add_filter("quote", quote);
    environment.add_filter("squote", squote);
    environment.add_filter("required", required);
}

fn invalid(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}

fn defined(value: &Value) -> Result<(), Error> {
    if value.is_undefined() { Err(Error::from(ErrorKind::UndefinedError)) } else { Ok(()) }
}

/// A scalar as text, the way it is printed.
fn text(value: &Value, filter: &str) -> Result<String, Error> {
    defined(value)?;
    if let Some(text) = value.as_str() {
        return Ok(text.to_owned());
    }
    match value.kind() {
        ValueKind::None => Ok("null".to_owned()),
        ValueKind::Bool => Ok(value.is_true().to_string()),
        ValueKind::Number if value.is_integer() => Ok(value.to_string()),
        ValueKind::Number => {
            let mut text = String::new();
            crate::js::write_number(f64::try_from(value.clone())?, &mut text);
            Ok(text)
        }
        kind => Err(invalid(format!("`{filter}` takes text, not a {kind}"))),
    }
}

fn json(value: &Value) -> Result<serde_json::Value, Error> {
    defined(value)?;
    serde_json::to_value(value).map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))
}

/// Block YAML without the final newline, quoted so that YAML 1.1 and 1.2 readers agree.
fn toyaml(value: &Value) -> Result<String, Error> {
    let mut text = manifest::yaml::emit(&json(value)?)
        .map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))?;
    text.truncate(text.trim_end_matches('\n').len());
    Ok(text)
}

/// JSON; with `indent=N` on several lines.
fn tojson(value: &Value, options: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent")?;
    options.assert_all_used()?;
    let json = json(value)?;
    let Some(indent) = indent else { return Ok(json.to_string()) };
    let spaces = " ".repeat(indent.min(16));
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(spaces.as_bytes());
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    serde::Serialize::serialize(&json, &mut serializer)
        .map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))
}

fn fromjson(value: &Value) -> Result<Value, Error> {
    let parsed: serde_json::Value = serde_json::from_str(&text(value, "fromjson")?)
        .map_err(|error| invalid(format!("not JSON: {}, column {}", error.line(), error.column())))?;
    Ok(Value::from(minijinja::value::Serde(&parsed)))
}

fn fromyaml(value: &Value) -> Result<Value, Error> {
    let text = text(value, "fromyaml")?;
    let document = manifest::yaml::read_one(&text, "value", manifest::yaml::Schema::Kubernetes)
        .map_err(|error| invalid(format!("not YAML: {error}")))?;
    let parsed = document.root.to_json().map_err(|error| invalid(format!("not YAML: {error}")))?;
    Ok(Value::from(minijinja::value::Serde(&parsed)))
}

/// Indents every line but the first by so many spaces; with `first=true` the first one too. Empty lines stay empty.
fn indent(
    value: &Value,
    width: usize,
    first: Option<bool>,
    blank: Option<bool>,
    options: Kwargs,
) -> Result<String, Error> {
    let named: Option<bool> = options.get("first")?;
    let blank_named: Option<bool> = options.get("blank")?;
    options.assert_all_used()?;
    let text = text(value, "indent")?;
    let margin = " ".repeat(width.min(1000));
    let (first, blank) = (first.or(named).unwrap_or(false), blank.or(blank_named).unwrap_or(false));
    let mut out = String::with_capacity(text.len() + margin.len() * 8);
    for (at, line) in text.split('\n').enumerate() {
        if at > 0 {
            out.push('\n');
        }
        if (at > 0 || first) && (blank || !line.is_empty()) {
            out.push_str(&margin);
        }
        out.push_str(line);
    }
    Ok(out)
}

/// A newline, then every line indented: for the value of a key.
fn nindent(value: &Value, width: usize) -> Result<String, Error> {
    let options = Kwargs::from_iter(std::iter::empty::<(String, Value)>());
    Ok(format!("\n{}", indent(value, width, Some(true), None, options)?))
}

/// As `{{…}}` of kit's mustache templates escaped: for migrated templates whose output must stay as it is.
fn kit_escape(value: &Value) -> Result<String, Error> {
    let mut text = text(value, "kit_escape")?;
    crate::mustache::escape_from(0, &mut text);
    Ok(text)
}

fn b64encode(value: &Value) -> Result<String, Error> {
    match value.as_bytes() {
        Some(bytes) if value.as_str().is_none() => Ok(STANDARD.encode(bytes)),
        _ => Ok(STANDARD.encode(text(value, "b64encode")?)),
    }
}

fn b64decode(value: &Value) -> Result<String, Error> {
    let bytes = STANDARD.decode(text(value, "b64decode")?.trim()).map_err(|_| invalid("not base64"))?;
    String::from_utf8(bytes).map_err(|_| invalid("the decoded bytes are not UTF-8 text"))
}

/// The digest in hexadecimal.
fn sha256(value: &Value) -> Result<String, Error> {
    let text = match value.kind() {
        ValueKind::Map | ValueKind::Seq => json(value)?.to_string(),
        _ => text(value, "sha256")?,
    };
    Ok(Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect())
}

/// In double quotes, with escapes where needed: a YAML and JSON string.
fn quote(value: &Value) -> Result<String, Error> {
    serde_json::to_string(&text(value, "quote")?)
        .map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))
}

/// In single quotes, which YAML escapes by doubling.
fn squote(value: &Value) -> Result<String, Error> {
    let text = text(value, "squote")?;
    if text.contains('\n') {
        return Err(invalid("`squote` takes one line; use `quote` or a `|` block"));
    }
    Ok(format!("'{}'", text.replace('\'', "''")))
}

/// The value, or an error with this message if it is undefined, null or empty.
fn required(value: &Value, message: Option<String>) -> Result<Value, Error> {
    let empty = value.is_undefined() || value.is_none() || value.as_str() == Some("");
    if empty {
        return Err(invalid(message.unwrap_or_else(|| "a required value is missing".to_owned())));
    }
    Ok(value.clone())
}
