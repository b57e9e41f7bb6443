//! Reading request bodies: JSON or YAML, with duplicate fields found.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::status::Refusal;

/// A parsed body, and the duplicate fields in it (`duplicate field "spec.replicas"`).
#[derive(Debug)]
pub(crate) struct Body {
    pub value: Value,
    pub duplicates: Vec<String>,
}

/// Parses a body of the given content type.
///
/// # Errors
/// 400 or 415 in the API server's words.
pub(crate) fn parse(bytes: &[u8], content_type: &str) -> Result<Body, Refusal> {
    let mime = content_type.split(';').next().unwrap_or_default().trim();
    match mime {
        ""
        | "application/json"
        | "application/json-patch+json"
        | "application/merge-patch+json"
        | "application/strategic-merge-patch+json" => json(bytes),
        "application/yaml" | "application/apply-patch+yaml" => {
            if bytes.trim_ascii_start().starts_with(b"{") {
                json(bytes)
            } else {
                let value = serde_saphyr::from_slice::<Value>(bytes)
                    .map_err(|e| Refusal::bad_request(format!("error decoding YAML: {e}")))?;
                Ok(Body { value, duplicates: Vec::new() })
            }
        }
        other => Err(Refusal::new(
            415,
            "UnsupportedMediaType",
            format!(
                "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml (got {other})"
            ),
        )),
    }
}

fn json(bytes: &[u8]) -> Result<Body, Refusal> {
    let mut duplicates = Vec::new();
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Seed { path: String::new(), duplicates: &mut duplicates }
        .deserialize(&mut reader)
        .and_then(|v| reader.end().map(|()| v))
        .map_err(|e| {
            let text: String = String::from_utf8_lossy(bytes).chars().take(200).collect();
            Refusal::bad_request(format!(
                "the object provided is unrecognized: couldn't get version/kind; json parse error: {e} ({text})"
            ))
        })?;
    Ok(Body { value, duplicates })
}

struct Seed<'a> {
    path: String,
    duplicates: &'a mut Vec<String>,
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(Value::from(v))
    }

    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(Value::from(v))
    }

    fn visit_f64<E>(self, v: f64) -> Result<Value, E> {
        // Whole numbers written as 1.0 or 1e3 are integers to the API server.
        #[allow(clippy::cast_possible_truncation)]
        if v.fract() == 0.0 && v.abs() < 9.0e15 {
            return Ok(Value::from(v as i64));
        }
        Ok(Value::from(v))
    }

    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(Value::String(v.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut out = Vec::new();
        while let Some(value) = seq.next_element_seed(Seed {
            path: format!("{}[{}]", self.path, out.len()),
            duplicates: &mut *self.duplicates,
        })? {
            out.push(value);
        }
        Ok(Value::Array(out))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut out = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let path = if self.path.is_empty() { key.clone() } else { format!("{}.{key}", self.path) };
            if out.contains_key(&key) {
                self.duplicates.push(format!("duplicate field \"{path}\""));
            }
            let value = map.next_value_seed(Seed { path, duplicates: &mut *self.duplicates })?;
            out.insert(key, value);
        }
        Ok(Value::Object(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicate_fields_are_named_by_their_path() {
        let body = parse(br#"{"spec":{"a":1,"a":2,"l":[{"b":1,"b":1}]}}"#, "application/json").unwrap();
        assert_eq!(body.duplicates, ["duplicate field \"spec.a\"", "duplicate field \"spec.l[0].b\""]);
        assert_eq!(body.value["spec"]["a"], 2);
    }
}
