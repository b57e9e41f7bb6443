//! Writes the Kubernetes schemas that `render::validate` carries.
//!
//! ```sh
//! cargo run -p testkit --example kubernetes-schemas
//! ```
//!
//! Two inputs:
//!
//! * the sources of `k8s-openapi`, as cargo unpacked them: every type of every minor version that it knows, with its
//!   fields, their types and which of them are required. They are read as tokens, all minors in one run, because the
//!   crate can only be compiled for one minor at a time;
//! * `facts.json` next to the output: what the published documents leave out but a server serves at `/openapi/v3`
//!   (enums, keys of lists), and on which fields a server really insists. With `--openapi DIR` this file is
//!   made again first, from a directory of such documents:
//!
//!   ```sh
//!   kubectl get --raw /openapi/v3 | jq -r '.paths[].serverRelativeURL' | while read -r url; do
//!     kubectl get --raw "$url" > "DIR/$(echo "$url" | tr -c 'a-z0-9\n' _).json"
//!   done
//!   ```
//!
//! The output stores a definition once for all minors, one line per field; the format is described at the reader,
//! `crates/render/src/validate/bundle.rs`.

// A generator that a developer runs talks to that developer, and stops at what it does not understand.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const OUTPUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../render/src/validate/kubernetes.schemas");
const FACTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../render/src/validate/facts.json");

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut facts: Facts = match fs::read_to_string(FACTS) {
        Ok(text) => serde_json::from_str(&text).context("facts.json")?,
        Err(_) => Facts::default(),
    };
    match (arguments.next().as_deref(), arguments.next()) {
        (None, _) => {}
        (Some("--openapi"), Some(directory)) => {
            facts.served = served_facts(Path::new(&directory))?;
            fs::write(FACTS, serde_json::to_string_pretty(&facts)? + "\n")?;
            println!("{} fields with facts", facts.served.fields.len());
        }
        (Some(other), _) => bail!("unknown argument `{other}`; see the head of this file"),
    }

    let sources = k8s_openapi_sources()?;
    let mut minors = BTreeMap::new();
    for entry in fs::read_dir(&sources)? {
        let entry = entry?;
        let name = entry.file_name().into_string().unwrap();
        if let Some(minor) = name.strip_prefix("v1_") {
            minors.insert(minor.parse::<u32>()?, Minor::read(&entry.path())?);
        }
    }
    let text = write(&minors, &facts)?;
    fs::write(OUTPUT, &text)?;
    println!("{} bytes for minors {:?}", text.len(), minors.keys().collect::<Vec<_>>());
    Ok(())
}

/// What the published schemas do not say.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Facts {
    /// Required on paper, and a server refused an object that it took before because this field was left out. What is
    /// required on paper only is not asked for: servers fill in, or do not look. `Type field`.
    insists: BTreeSet<String>,
    /// Not required on paper, and yet a server insists.
    also_insists: BTreeSet<String>,
    /// Enums that a server enforces but does not serve. `Type field` to values.
    enforced: BTreeMap<String, Vec<String>>,
    served: Served,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Served {
    /// The minor version of the server: in other minors an enum counts only where the field's text is the same.
    minor: u32,
    /// `Type field` to fact.
    fields: BTreeMap<String, Fact>,
}

#[derive(Default, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fact {
    #[serde(rename = "enum", default, skip_serializing_if = "Vec::is_empty")]
    values: Vec<String>,
    /// Keys that tell the elements of a list apart, with `=default` where one has a default; `[]` means the element.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keys: Option<Vec<String>>,
}

fn served_facts(directory: &Path) -> Result<Served> {
    let mut definitions = BTreeMap::new();
    let mut minor = None;
    for entry in fs::read_dir(directory)? {
        let text = fs::read_to_string(entry?.path())?;
        let Ok(document) = serde_json::from_str::<Value>(&text) else { continue };
        if let Some(version) = document["info"]["version"].as_str() {
            minor = version.split('.').nth(1).and_then(|minor| minor.parse().ok()).or(minor);
        }
        if let Some(schemas) = document["components"]["schemas"].as_object() {
            definitions.extend(schemas.clone());
        }
    }
    let mut fields = BTreeMap::new();
    for (name, definition) in &definitions {
        // A schema inside a schema: a server does not look for the same rule twice there.
        if name.ends_with(".JSONSchemaProps") {
            continue;
        }
        let Some(properties) = definition["properties"].as_object() else { continue };
        for (field, schema) in properties {
            let mut fact = Fact::default();
            let values = schema["enum"].as_array().or_else(|| schema["items"]["enum"].as_array());
            for value in values.into_iter().flatten() {
                fact.values
                    .push(value.as_str().context("an enum of something else than strings")?.to_owned());
            }
            match schema["x-kubernetes-list-type"].as_str() {
                Some("set") => fact.keys = Some(vec![]),
                Some("map") => fact.keys = Some(list_keys(schema, &definitions)),
                _ => {}
            }
            if fact != Fact::default() {
                fields.insert(format!("{name} {field}"), fact);
            }
        }
    }
    Ok(Served { minor: minor.context("no document names the server's version")?, fields })
}

fn list_keys(schema: &Value, definitions: &BTreeMap<String, Value>) -> Vec<String> {
    let reference = schema["items"]["$ref"].as_str().or_else(|| schema["items"]["allOf"][0]["$ref"].as_str());
    let element = reference.and_then(|path| definitions.get(path.rsplit('/').next().unwrap_or(path)));
    let with_default = |key: &Value| {
        let key = key.as_str().unwrap();
        match element.and_then(|element| element["properties"][key]["default"].as_str()) {
            Some(default) if !default.is_empty() => format!("{key}={default}"),
            _ => key.to_owned(),
        }
    };
    schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten().map(with_default).collect()
}

fn k8s_openapi_sources() -> Result<PathBuf> {
    let output =
        Command::new(env!("CARGO")).args(["metadata", "--format-version", "1", "--offline"]).output()?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().context("cargo metadata")?;
    let found = packages.iter().find(|package| package["name"] == "k8s-openapi").context("k8s-openapi")?;
    Ok(Path::new(found["manifest_path"].as_str().unwrap()).parent().unwrap().join("src"))
}

/// One minor version as k8s-openapi has it.
#[derive(Default)]
struct Minor {
    /// By the schema's name, `io.k8s.api.core.v1.Container`.
    definitions: BTreeMap<String, Value>,
    /// By `apiVersion kind`: scope and schema.
    kinds: BTreeMap<String, (String, String)>,
    /// From the Rust path to the schema's name.
    paths: BTreeMap<String, String>,
}

impl Minor {
    fn read(directory: &Path) -> Result<Self> {
        let mut minor = Self::default();
        minor.walk(directory, "crate")?;
        Ok(minor)
    }

    fn walk(&mut self, directory: &Path, module: &str) -> Result<()> {
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                self.walk(&path, &format!("{module}::{name}"))?;
            } else if name != "mod.rs" {
                self.file(&path, module).with_context(|| path.display().to_string())?;
            }
        }
        Ok(())
    }

    /// A file holds one type, its `JsonSchema` and, for a kind, its `Resource`.
    fn file(&mut self, path: &Path, module: &str) -> Result<()> {
        let text = fs::read_to_string(path)?;
        let Some(start) = text.find("impl crate::schemars::JsonSchema for ") else { return Ok(()) };
        let schema = &text[start..];
        let rust_name = schema["impl crate::schemars::JsonSchema for ".len()..].split(' ').next().unwrap();
        let name = between(schema, "\"io.k8s.", "\".into()").context("schema_name")?;
        let name = format!("io.k8s.{name}");
        let body = &schema[schema.find("json_schema!(").context("json_schema!")?..];
        let tokens: TokenStream = body[..body.find("\n        })").context("the macro's end")? + 11]
            .parse()
            .map_err(|error| anyhow::anyhow!("{error}"))?;
        let Some(TokenTree::Group(group)) = tokens.into_iter().nth(2) else { bail!("json_schema!(…)") };
        self.definitions.insert(name.clone(), value(group.stream())?);
        self.paths.insert(format!("{module}::{rust_name}"), name.clone());
        if let Some(version) = between(&text, "const API_VERSION: &'static str = \"", "\";") {
            let kind = between(&text, "const KIND: &'static str = \"", "\";").context("KIND")?;
            let scope = match between(&text, "type Scope = crate::", ";").context("Scope")? {
                "NamespaceResourceScope" => "namespaced",
                "ClusterResourceScope" => "cluster",
                // Subresources are posted to, not applied.
                "SubResourceScope" => return Ok(()),
                other => bail!("scope {other}"),
            };
            self.kinds.insert(format!("{version} {kind}"), (scope.to_owned(), name));
        }
        Ok(())
    }

    fn expression(&self, schema: &Value) -> Result<String> {
        if let Some(path) = schema["$rust"].as_str() {
            let name = self.paths.get(path).with_context(|| format!("no type {path}"))?;
            let primitive = match name.rsplit('.').next().unwrap() {
                "Quantity" => "quantity",
                "IntOrString" => "int-or-string",
                "RawExtension" | "FieldsV1" => "object",
                "JSON" => "any",
                _ => "",
            };
            let definition = &self.definitions[name];
            return match () {
                () if !primitive.is_empty() => Ok(primitive.to_owned()),
                () if definition["properties"].is_object() => Ok(short(name)),
                () => self.expression(definition),
            };
        }
        if let Some(choices) = schema["oneOf"].as_array() {
            let choices: Vec<String> =
                choices.iter().map(|choice| self.expression(choice)).collect::<Result<_>>()?;
            return Ok(choices.join("|"));
        }
        ensure!(schema["properties"].is_null(), "inline properties");
        Ok(match (schema["type"].as_str(), schema["format"].as_str()) {
            (Some("array"), None) => format!("[{}]", self.expression(&schema["items"])?),
            (Some("object"), None) if schema["additionalProperties"].is_object() => {
                format!("{{{}}}", self.expression(&schema["additionalProperties"])?)
            }
            (Some("object"), None) => "object".to_owned(),
            (Some("string"), None) => "string".to_owned(),
            (Some("string"), Some(format @ ("byte" | "date-time"))) => format.to_owned(),
            (Some("integer"), Some(format @ ("int32" | "int64"))) => format.to_owned(),
            (Some("integer"), None) => "int64".to_owned(),
            (Some("number"), Some("double")) => "number".to_owned(),
            (Some("boolean"), None) => "boolean".to_owned(),
            other => bail!("type {other:?} in {schema}"),
        })
    }
}

fn short(name: &str) -> String {
    name.trim_start_matches("io.k8s.").to_owned()
}

fn between<'t>(text: &'t str, before: &str, after: &str) -> Option<&'t str> {
    let rest = &text[text.find(before)? + before.len()..];
    Some(&rest[..rest.find(after)?])
}

/// The tokens of `json_schema!(…)` as the JSON they stand for, with `{"$rust": path}` for `subschema_for::<path>()`.
fn value(tokens: TokenStream) -> Result<Value> {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    if let Some(path) = subschema(&tokens) {
        return Ok(json!({ "$rust": path }));
    }
    match tokens.as_slice() {
        [TokenTree::Group(group)] => match group.delimiter() {
            Delimiter::Brace => object(group.stream()),
            Delimiter::Bracket => {
                let elements = split(group.stream());
                Ok(Value::Array(elements.into_iter().map(value).collect::<Result<_>>()?))
            }
            _ => value(group.stream()),
        },
        [TokenTree::Literal(literal)] => {
            let text = literal.to_string();
            // Only texts that are compared stand here, so escapes may stay as they are.
            Ok(Value::String(text.trim_matches('"').to_owned()))
        }
        [TokenTree::Ident(ident)] => Ok(Value::Bool(ident == "true")),
        other => bail!("cannot read {other:?}"),
    }
}

fn object(tokens: TokenStream) -> Result<Value> {
    // `{ let mut schema_obj = __gen.subschema_for::<path>(); …; schema_obj }`
    if tokens.to_string().starts_with("let ") {
        return value_of_block(&tokens.into_iter().collect::<Vec<_>>());
    }
    let mut object = serde_json::Map::new();
    for pair in split(tokens) {
        let pair: Vec<TokenTree> = pair.into_iter().collect();
        let [TokenTree::Literal(key), TokenTree::Punct(_), rest @ ..] = pair.as_slice() else {
            bail!("{pair:?}")
        };
        object.insert(key.to_string().trim_matches('"').to_owned(), value(rest.iter().cloned().collect())?);
    }
    Ok(Value::Object(object))
}

fn value_of_block(tokens: &[TokenTree]) -> Result<Value> {
    let path = subschema(tokens).context("a block without subschema_for")?;
    let inserted =
        tokens.iter().filter(|token| matches!(token, TokenTree::Ident(ident) if ident == "insert")).count();
    ensure!(inserted <= 1, "a block that inserts more than a description");
    let description = tokens.iter().filter_map(|token| match token {
        TokenTree::Group(group) => Some(group.stream().to_string()),
        _ => None,
    });
    let description = description.filter(|text| text.starts_with("\"description\"")).collect::<String>();
    Ok(json!({ "$rust": path, "description": description }))
}

/// The path in `… subschema_for :: < path > ()`.
fn subschema(tokens: &[TokenTree]) -> Option<String> {
    let at = tokens
        .iter()
        .position(|token| matches!(token, TokenTree::Ident(ident) if ident == "subschema_for"))?;
    let inside = tokens[at..].iter().skip(4).map(ToString::to_string);
    Some(inside.take_while(|token| token != ">").collect())
}

fn split(tokens: TokenStream) -> Vec<TokenStream> {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let comma = |token: &TokenTree| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ',');
    let parts = tokens.split(comma).filter(|part| !part.is_empty());
    parts.map(|part| part.iter().cloned().collect()).collect()
}

/// One field as it will be written, without its minors.
type Line = (String, String);

fn write(minors: &BTreeMap<u32, Minor>, facts: &Facts) -> Result<String> {
    let all: BTreeSet<u32> = minors.keys().copied().collect();
    let mut kinds: BTreeMap<Line, BTreeSet<u32>> = BTreeMap::new();
    let mut types: BTreeMap<String, BTreeMap<Line, BTreeSet<u32>>> = BTreeMap::new();
    let mut unused: BTreeSet<&String> = facts.also_insists.iter().chain(facts.enforced.keys()).collect();
    for (&number, minor) in minors {
        for (kind, (scope, name)) in &minor.kinds {
            kinds.entry((kind.clone(), format!("{scope} {}", short(name)))).or_default().insert(number);
        }
        for name in reachable(minor)? {
            let definition = &minor.definitions[&name];
            let lines = types.entry(short(&name)).or_default();
            let required: Vec<&str> =
                definition["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            for (field, schema) in definition["properties"].as_object().unwrap() {
                let key = format!("{name} {field}");
                unused.remove(&key);
                // k8s-openapi adds `metadata` to what a kind requires.
                let is_required = required.contains(&field.as_str()) && facts.insists.contains(&key)
                    || facts.also_insists.contains(&key);
                let mut line = minor.expression(schema).with_context(|| key.clone())?;
                if let Some(fact) = facts.served.fields.get(&key) {
                    if let Some(keys) = &fact.keys {
                        line += &if keys.is_empty() {
                            " set".to_owned()
                        } else {
                            format!(" keys={}", keys.join(","))
                        };
                    }
                    if !fact.values.is_empty() && same_text(minors, facts.served.minor, &name, field, schema)
                    {
                        line += &enumeration(&fact.values);
                    }
                }
                if let Some(values) = facts.enforced.get(&key) {
                    line += &enumeration(values);
                }
                let mark = if is_required { "!" } else { "" };
                lines.entry((format!("{field}{mark}"), line)).or_default().insert(number);
            }
        }
    }
    ensure!(unused.is_empty(), "facts.json speaks of fields that do not exist: {unused:?}");

    let mut text = String::from(
        "# Kubernetes schemas. Written by `cargo run -p testkit --example kubernetes-schemas`; do not edit.\n",
    );
    text += &format!("minors {}\n", all.iter().map(u32::to_string).collect::<Vec<_>>().join(" "));
    for ((kind, rest), present) in &kinds {
        text += &format!("kind {kind} {rest}{}\n", range(present, &all));
    }
    for (name, lines) in &types {
        text += &format!("type {name}\n");
        for ((field, line), present) in lines {
            text += &format!(" {field} {line}{}\n", range(present, &all));
        }
    }
    Ok(text)
}

/// Every type with fields that a kind leads to.
fn reachable(minor: &Minor) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    let mut next: Vec<String> = minor.kinds.values().map(|(_, name)| name.clone()).collect();
    while let Some(name) = next.pop() {
        if found.contains(&name) {
            continue;
        }
        let definition = &minor.definitions[&name];
        let mut paths = Vec::new();
        rust_paths(definition, &mut paths);
        for path in paths {
            next.push(minor.paths.get(&path).with_context(|| format!("no type {path}"))?.clone());
        }
        if definition["properties"].is_object() {
            found.insert(name);
        } else {
            // Stands for what it is wherever it is used; only what it leads to is of interest.
            ensure!(!found.contains(&name), "{name}");
        }
    }
    Ok(found)
}

fn rust_paths(value: &Value, paths: &mut Vec<String>) {
    match value {
        Value::Object(object) => match object.get("$rust") {
            Some(path) => paths.push(path.as_str().unwrap().to_owned()),
            None => object.values().for_each(|value| rust_paths(value, paths)),
        },
        Value::Array(array) => array.iter().for_each(|value| rust_paths(value, paths)),
        _ => {}
    }
}

/// Whether the field reads in this minor as in the one the facts are from. New values of an enum come with a new text.
fn same_text(minors: &BTreeMap<u32, Minor>, from: u32, name: &str, field: &str, schema: &Value) -> bool {
    let there = minors.get(&from).and_then(|minor| minor.definitions.get(name));
    there.is_some_and(|definition| definition["properties"][field] == *schema)
}

fn enumeration(values: &[String]) -> String {
    let values: Vec<String> = values.iter().map(|value| value.replace(' ', "%20")).collect();
    format!(" enum={}", values.join("|"))
}

fn range(present: &BTreeSet<u32>, all: &BTreeSet<u32>) -> String {
    if present == all {
        return String::new();
    }
    format!(" @{}", present.iter().map(u32::to_string).collect::<Vec<_>>().join(","))
}
