//! Symbolic links: followed inside the repository, refused where they lead out of it.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

mod repository;

use repository::Repository;

/// Moves a file or folder of the repository out of it, and leaves a link to it.
fn moved_out(path: &str) -> (Repository, tempfile::TempDir) {
    let repository = Repository::new();
    repository.run(&[]).success();
    let outside = tempfile::tempdir().unwrap();
    let inside = repository.sandbox.join(path);
    let target = outside.path().join("there");
    copy(&inside, &target);
    repository.remove(path);
    std::os::unix::fs::symlink(&target, &inside).unwrap();
    (repository, outside)
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    if !from.is_dir() {
        std::fs::copy(from, to).unwrap();
        return;
    }
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        copy(&entry.path(), &to.join(entry.file_name()));
    }
}

#[test]
fn what_leads_out_of_the_repository_is_refused_by_name() {
    for (path, told) in [
        ("base-cluster.yaml", "base-cluster.yaml: a symbolic link leaves the repository"),
        ("base-var.yaml", "base-var.yaml: a symbolic link leaves the repository"),
        ("type/prod-var.yaml", "type/prod-var.yaml: a symbolic link leaves the repository"),
        ("clusters/eu", "clusters/eu: a symbolic link leaves the repository"),
        ("clusters/eu/cluster.yaml", "clusters/eu/cluster.yaml: a symbolic link leaves the repository"),
        (
            "clusters/eu/configuration-var.yaml",
            "clusters/eu/configuration-var.yaml: a symbolic link leaves the repository",
        ),
        ("resources/cart.yaml.j2", "is a symbolic link out of the folder of the resources"),
        ("images/shop/cart/main.yaml", "images/shop/cart/main.yaml: a symbolic link leaves the image folder"),
        ("images/shop", "images/shop/cart/main.yaml: a symbolic link leaves the image folder"),
        ("generated/eu", "generated/eu is not a folder"),
        (
            "generated/eu/cart.yaml",
            "generated/eu would overwrite files that deploymentizer did not write: cart.yaml",
        ),
    ] {
        let (repository, outside) = moved_out(path);
        let before = repository.generated("us/cart.yaml");
        let answer = repository.run(&[]);
        assert!(matches!(answer.exit_code, 1 | 2 | 4), "{path} {answer}");
        assert!(answer.stderr.contains(told), "{path} {answer}");
        assert_eq!(repository.generated("us/cart.yaml"), before, "{path}");
        assert!(outside.path().join("there").exists(), "{path}");
    }
}

#[test]
fn folders_that_kit_yaml_names_may_be_links() {
    for path in ["type", "clusters", "resources", "images", "generated"] {
        let (repository, _outside) = moved_out(path);
        let answer = repository.run(&["--detailed-exitcode"]);
        assert_eq!(answer.exit_code, 0, "{path} {answer}");
    }
}

#[test]
fn links_inside_the_repository_are_followed() {
    let repository = Repository::new();
    repository.run(&[]).success();
    for (path, target) in [
        ("base-var.yaml", "shared-base-var.yaml"),
        ("clusters/eu/cluster.yaml", "shared-cluster.yaml"),
        ("resources/cart.yaml.j2", "resources/shared.j2"),
    ] {
        let text = repository.sandbox.read(path);
        repository.write(target, &text);
        repository.remove(path);
        let target = repository.sandbox.join(target);
        std::os::unix::fs::symlink(target, repository.sandbox.join(path)).unwrap();
    }
    let answer = repository.run(&["--detailed-exitcode"]);
    assert_eq!(answer.exit_code, 0, "{answer}");
}
