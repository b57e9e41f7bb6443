//! `schema`: JSON Schemas of the files that people write, for editors.

use cli::{Exit, Printer};
use serde_json::{Value, json};

use crate::command::SchemaOf;

/// Prints a schema; a test holds them to the parsers.
pub(crate) fn schema(of: SchemaOf, printer: &Printer) -> Exit {
    let text = match of {
        SchemaOf::Kit => include_str!("schema/kit.json"),
        SchemaOf::Base | SchemaOf::Cluster => include_str!("schema/cluster.json"),
        SchemaOf::Var => include_str!("schema/var.json"),
    };
    let mut schema: Value = serde_json::from_str(text).expect("the files are JSON, a test reads them");
    if of == SchemaOf::Base {
        // A base or a type gives parts, and whose they are is read of the cluster only.
        for key in ["name", "type"] {
            let description = schema["properties"]["metadata"]["properties"][key]["description"].take();
            schema["properties"]["metadata"]["properties"][key] = json!({ "description": description });
        }
    }
    if of == SchemaOf::Cluster {
        schema["required"] = json!(["kind", "metadata"]);
        schema["properties"]["metadata"]["type"] = json!("object");
        schema["properties"]["metadata"]["required"] = json!(["name", "type"]);
    }
    printer.result(&format!("{schema:#}\n"));
    Exit::Done
}
