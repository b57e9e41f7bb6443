//! Where kit's layout keeps the image of a service: the file that `image-deployer` writes and `deploymentizer` reads.

/// A name that cannot be a part of the path of an image file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the {what} cannot be a path in the repository, {why}: `{name}`")]
pub struct ImageFileError {
    /// `repository` or `branch`.
    pub what: &'static str,
    /// What is wrong with it.
    pub why: &'static str,
    /// The name.
    pub name: String,
}

/// The image file of a repository's branch, below the folder `images.path` of `kit.yaml`: `acme/web/main.yaml`.
///
/// A branch may hold slashes; its file is then in folders below (kit wrote them like this, but could not read them).
///
/// # Errors
/// When one of the two could lead out of the folder. (kit wrote over `kit.yaml` for the branch `../../../kit`.)
pub fn image_file(repository: &str, branch: &str) -> Result<String, ImageFileError> {
    for (what, name) in [("repository", repository), ("branch", branch)] {
        if let Some(why) = not_a_path(name) {
            return Err(ImageFileError { what, why, name: name.to_owned() });
        }
    }
    Ok(format!("{repository}/{branch}.yaml"))
}

/// Why a text cannot be a relative path in a git repository that stays where it is put; `None` if it can.
pub fn not_a_path(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        return Some("it is empty");
    }
    if name.starts_with('/') {
        return Some("it starts with `/`");
    }
    if name.contains('\\') || name.chars().any(char::is_control) {
        return Some("it holds a backslash or a control character");
    }
    name.split('/').find_map(|part| match part {
        "" => Some("a part of it is empty"),
        "." | ".." => Some("it leaves its folder"),
        part if part.eq_ignore_ascii_case(".git") => Some("git keeps `.git` for itself"),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_named_after_repository_and_branch() {
        assert_eq!(image_file("acme/web", "main").unwrap(), "acme/web/main.yaml");
        assert_eq!(image_file("acme/web", "feature/x").unwrap(), "acme/web/feature/x.yaml");
    }

    #[test]
    fn a_name_that_leaves_its_folder_is_refused() {
        let error = image_file("acme/web", "../../../kit").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the branch cannot be a path in the repository, it leaves its folder: `../../../kit`"
        );
        for name in ["", "/a", "a//b", "a/", "a/./b", "a\\b", "a\nb", ".git/x", "a/.GIT"] {
            assert!(image_file(name, "main").is_err() && image_file("a", name).is_err(), "{name:?}");
        }
    }
}
