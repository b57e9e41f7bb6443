//! A small repository that tests change.
// Each test file uses a part of it, and a test that cannot set itself up ends at once.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use testkit::{Answer, Sandbox, program};

/// A repository of two clusters (`eu`, `us` of type `prod`) and one service (`cart`), in a sandbox of its own.
pub struct Repository {
    pub sandbox: Sandbox,
}

impl Repository {
    /// With minijinja templates.
    pub fn new() -> Self {
        let repository = Self { sandbox: Sandbox::new() };
        for (path, text) in FILES {
            repository.write(path, text);
        }
        repository
    }

    pub fn write(&self, path: &str, text: &str) {
        self.sandbox.write(path, text);
    }

    pub fn append(&self, path: &str, text: &str) {
        let before = self.sandbox.read(path);
        self.sandbox.write(path, before + text);
    }

    pub fn replace(&self, path: &str, from: &str, to: &str) {
        let before = self.sandbox.read(path);
        assert!(before.contains(from), "{path} has no {from:?}");
        self.sandbox.write(path, before.replace(from, to));
    }

    pub fn remove(&self, path: &str) {
        let path = self.sandbox.join(path);
        match path.is_dir() {
            true => std::fs::remove_dir_all(path).unwrap(),
            false => std::fs::remove_file(path).unwrap(),
        }
    }

    #[track_caller]
    pub fn run(&self, args: &[&str]) -> Answer {
        self.sandbox.run(program("deploymentizer").args(args))
    }

    pub fn generated(&self, path: &str) -> String {
        self.sandbox.read(format!("generated/{path}"))
    }

    /// The names of all files below generated/, indexes left out.
    pub fn files(&self) -> Vec<String> {
        let mut found = Vec::new();
        walk(&self.sandbox.join("generated"), "", &mut found);
        found.sort();
        found
    }
}

fn walk(folder: &std::path::Path, prefix: &str, found: &mut Vec<String>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            walk(&entry.path(), &format!("{name}/"), found);
        } else if !name.ends_with(".kit-index.json") {
            found.push(name);
        }
    }
}

const FILES: [(&str, &str); 11] = [
    (
        "kit.yaml",
        "base: {path: .}\ntype: {path: ./type}\ncluster: {path: ./clusters}\nresources: {path: ./resources}\nimages: {path: ./images}\noutput: {path: ./generated}\n",
    ),
    (
        "base-cluster.yaml",
        "kind: ClusterNamespace\nmetadata:\n  name: base\n  branch: main\nresources:\n  cart:\n    file: cart.yaml.j2\n    image_tag: shop/cart\n    env:\n      - {name: LEVEL, value: info}\n    svc: {name: cart-svc}\n",
    ),
    ("base-var.yaml", "kind: ResourceConfig\nreplicas: 2\n"),
    ("type/prod-var.yaml", "kind: ResourceConfig\nmetadata: {type: prod}\nlevel: warn\n"),
    ("images/shop/cart/main.yaml", "image: registry.example.com/shop/cart:main-1\n"),
    ("clusters/eu/cluster.yaml", "kind: ClusterNamespace\nmetadata: {name: eu, type: prod}\n"),
    ("clusters/eu/configuration-var.yaml", "kind: ResourceConfig\nregion: eu-west\n"),
    ("clusters/us/cluster.yaml", "kind: ClusterNamespace\nmetadata: {name: us, type: prod}\n"),
    ("clusters/us/configuration-var.yaml", "kind: ResourceConfig\nregion: us-east\nreplicas: 4\n"),
    (
        "resources/cart.yaml.j2",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {{ name }}\n  labels: {region: {{ region }}}\nspec:\n  replicas: {{ replicas }}\n  template:\n    spec:\n      containers:\n        - name: cart\n          image: {{ container.image }}\n          env:\n{% for entry in container.env %}\n            - name: {{ entry.name }}\n              value: {{ entry.value | quote }}\n{% endfor %}\n",
    ),
    (
        "resources/base-svc.yaml.j2",
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: {{ svc.name }}\nspec:\n  ports: [{port: 80}]\n",
    ),
];
