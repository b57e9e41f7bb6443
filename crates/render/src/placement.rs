//! Where a cluster stands among the others: `metadata.type`, `metadata.wave` and `metadata.labels`, handed over to
//! `deployer` in the index of the generated tree.

use std::sync::Arc;

use manifest::index::Placement;

use crate::node::{Node, Value};
use crate::problem::Problem;
use crate::source::{Cluster, Repository};

impl Repository {
    /// The placement of a cluster. Its own file wins over its type's, and that over `base-cluster.yaml`; labels of all
    /// three come together.
    ///
    /// # Errors
    /// A `metadata.wave` that is no whole number: the cluster would be deployed when nobody expects it.
    pub(crate) fn placement(
        &self,
        cluster: &Cluster,
        warnings: &mut Vec<Problem>,
    ) -> Result<Placement, Problem> {
        let layers = self.metadata_layers(cluster);
        let mut placement = Placement { kind: Some(cluster.kind.to_string()), ..Placement::default() };
        for metadata in layers {
            if let Some(wave) = metadata.get("wave").filter(|wave| !wave.is_null()) {
                placement.wave = Some(number(wave).ok_or_else(|| {
                    let problem =
                        Problem::new(format!("`metadata.wave` is not a whole number: `{}`", wave.to_text()));
                    self.at(problem, &wave.origin)
                        .hint("write `wave: 2`: clusters of lower waves are deployed first")
                })?);
            }
            let Some(labels) = metadata.get("labels").filter(|labels| !labels.is_null()) else { continue };
            let Some(map) = labels.as_map() else {
                let problem = Problem::new(format!(
                    "`metadata.labels` must be a map to select clusters by, found {}",
                    labels.kind()
                ));
                warnings.push(self.at(problem, &labels.origin));
                continue;
            };
            for entry in &map.entries {
                match entry.value.value {
                    Value::Null => {}
                    Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) => {
                        placement.labels.insert(entry.key.to_string(), entry.value.to_text());
                    }
                    Value::Date(_) | Value::List(_) | Value::Map(_) => {
                        let problem = Problem::new(format!(
                            "label `{}` of the cluster must be a string, found {}",
                            entry.key,
                            entry.value.kind()
                        ));
                        warnings.push(self.at(problem, &entry.value.origin));
                    }
                }
            }
        }
        Ok(placement)
    }
}

fn number(node: &Arc<Node>) -> Option<u32> {
    match &node.value {
        Value::Int(number) => u32::try_from(*number).ok(),
        Value::Null
        | Value::Bool(_)
        | Value::Float(_)
        | Value::Text(_)
        | Value::Date(_)
        | Value::List(_)
        | Value::Map(_) => None,
    }
}
