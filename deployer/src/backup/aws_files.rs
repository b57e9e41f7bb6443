//! The keys and the region in the files of the AWS programs, `~/.aws/credentials` and `~/.aws/config`, for the profile `AWS_PROFILE`.
//! `object_store` knows the environment, web identities, containers and instances.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// What a profile says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Profile {
    pub(super) key_id: Option<String>,
    pub(super) secret: Option<String>,
    pub(super) token: Option<String>,
    pub(super) region: Option<String>,
}

/// The profile of that name in both files, credentials first. A file that is not there says nothing.
pub(super) fn read(name: &str) -> Profile {
    let file = |variable: &str, default: &str| {
        let named = std::env::var_os(variable).map(PathBuf::from);
        let path = named.or_else(|| Some(std::env::home_dir()?.join(".aws").join(default)))?;
        std::fs::read_to_string(path).ok()
    };
    profile(
        name,
        &file("AWS_SHARED_CREDENTIALS_FILE", "credentials").unwrap_or_default(),
        &file("AWS_CONFIG_FILE", "config").unwrap_or_default(),
    )
}

fn profile(name: &str, credentials: &str, config: &str) -> Profile {
    let mut found = section(config, name, true);
    found.extend(section(credentials, name, false));
    let mut take = |key: &str| found.remove(key).filter(|value| !value.is_empty());
    Profile {
        key_id: take("aws_access_key_id"),
        secret: take("aws_secret_access_key"),
        token: take("aws_session_token"),
        region: take("region"),
    }
}

/// `config` writes `[profile NAME]`, except for the default one.
fn section(text: &str, name: &str, config: bool) -> BTreeMap<String, String> {
    let mut inside = false;
    let mut values = BTreeMap::new();
    for line in text.lines() {
        if let Some(head) = line.trim_end().strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            let head = head.trim();
            let long = head.strip_prefix("profile ").map(str::trim);
            inside =
                if config { long == Some(name) || (name == "default" && head == name) } else { head == name };
        } else if inside && !line.starts_with([' ', '\t', '#', ';']) {
            // Indented lines belong to a nested setting.
            if let Some((key, value)) = line.split_once('=') {
                values.insert(key.trim().to_lowercase(), value.trim().to_owned());
            }
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_of_a_profile_are_in_one_file_and_its_region_is_in_the_other() {
        let credentials = "[default]\naws_access_key_id = A\n\n[ci]\n# of the pipeline\naws_access_key_id = B\nAWS_SECRET_ACCESS_KEY=c=d\n";
        let config =
            "[default]\nregion = eu-west-1\n[profile ci]\ns3 =\n  region = nested\nregion = eu-north-1\n";
        let ci = Profile {
            key_id: Some("B".into()),
            secret: Some("c=d".into()),
            token: None,
            region: Some("eu-north-1".into()),
        };
        assert_eq!(profile("ci", credentials, config), ci);
        assert_eq!(profile("default", credentials, config).region.as_deref(), Some("eu-west-1"));
        assert_eq!(profile("other", credentials, config), Profile::default());
    }
}
