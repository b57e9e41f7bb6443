//! Whether an image is in its registry, and under which digest: the pull side of the OCI distribution API.

mod challenge;
mod client;
mod credentials;

use std::collections::BTreeMap;

use cli::{Exit, Failure, Printer, Problem};
use manifest::ImageRef;

use crate::{request::RegistryCheck, want::Want};

use self::client::{Client, RegistryError};

/// Asks for every image once; gives the wants back, with digests if they are to be pinned.
pub(crate) fn checked(
    check: &RegistryCheck,
    wants: &[Want],
    printer: &Printer,
) -> Result<Vec<Want>, Failure> {
    let client = Client::new(check).map_err(Failure::invalid)?;
    let mut digests: BTreeMap<&ImageRef, String> = BTreeMap::new();
    let mut problems = Vec::new();
    let mut exit = Exit::Invalid;
    for Want { image, .. } in wants {
        if digests.contains_key(image) {
            continue;
        }
        match client.digest(image) {
            Ok(digest) => {
                printer.say(&format!("{image} is in the registry: {digest}"));
                digests.insert(image, digest);
            }
            Err(error) => {
                if !matches!(error, RegistryError::NotThere { .. }) {
                    exit = Exit::Failed;
                }
                problems.push(Problem::from_error(&error).maybe_hint(error.hint(image)));
            }
        }
    }
    if !problems.is_empty() {
        return Err(Failure::all(exit, problems));
    }
    wants
        .iter()
        .map(|want| {
            let mut want = want.clone();
            if let Some(digest) = digests.get(&want.image).filter(|_| check.pin_digest) {
                want.image = want
                    .image
                    .with_digest(digest)
                    .map_err(|error| Failure::failed(Problem::from_error(&error)))?;
            }
            Ok(want)
        })
        .collect()
}
