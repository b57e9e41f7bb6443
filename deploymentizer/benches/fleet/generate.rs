//! The generated repository.

use std::fmt::Write as _;
use std::path::Path;

/// Which templates the repository has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// `.yaml.j2`.
    Jinja,
    /// `.mustache`.
    Mustache,
}

impl Dialect {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Dialect::Jinja => "minijinja",
            Dialect::Mustache => "mustache",
        }
    }

    fn extension(self) -> &'static str {
        match self {
            Dialect::Jinja => "yaml.j2",
            Dialect::Mustache => "mustache",
        }
    }
}

/// Its size.
pub(crate) struct Fleet {
    pub(crate) clusters: usize,
    pub(crate) resources: usize,
    pub(crate) dialect: Dialect,
}

const VARIABLES: usize = 20;

impl Fleet {
    /// Writes the repository.
    pub(crate) fn write(&self, root: &Path) {
        let file = |path: &str, text: &str| write(root, path, text);
        file(
            "kit.yaml",
            "base: {path: .}\ntype: {path: ./type}\ncluster: {path: ./clusters}\nresources: {path: ./resources}\nimages: {path: ./images}\noutput: {path: ./generated}\n",
        );
        file("base-var.yaml", "kind: ResourceConfig\ndeployment: {replicaCount: 2}\n");
        file("type/prod-var.yaml", "kind: ResourceConfig\nmetadata: {type: prod}\nlevel: warn\n");
        let mut base =
            "kind: ClusterNamespace\nmetadata: {name: base, branch: main}\nresources:\n".to_owned();
        for resource in 0..self.resources {
            let name = format!("svc-{resource:03}");
            write!(base, "  {name}:\n    file: ./{name}.{}\n    containers:\n", self.dialect.extension())
                .unwrap();
            for container in ["app", "side"] {
                write!(base, "      {container}:\n        image_tag: org/{name}-{container}\n").unwrap();
                write!(base, "        primary: {}\n        port: 8080\n        env:\n", container == "app")
                    .unwrap();
                for variable in 0..VARIABLES {
                    writeln!(
                        base,
                        "          - {{name: SETTING_{variable:02}, value: \"value {variable} of {name}\"}}"
                    )
                    .unwrap();
                }
                let image = format!("image: registry.example.com/org/{name}-{container}:main-0123abc\n");
                file(&format!("images/org/{name}-{container}/main.yaml"), &image);
            }
            writeln!(base, "    svc: {{name: {name}-svc, port: 80}}").unwrap();
            file(&format!("resources/{name}.{}", self.dialect.extension()), self.deployment());
        }
        file("base-cluster.yaml", &base);
        file(&format!("resources/base-svc.{}", self.dialect.extension()), SERVICE);
        for cluster in 0..self.clusters {
            let mut text = format!(
                "kind: ClusterNamespace\nmetadata: {{name: c{cluster:04}, type: prod}}\nresources:\n"
            );
            for resource in (0..self.resources).step_by(10) {
                write!(text, "  svc-{resource:03}:\n    containers:\n      app:\n        env:\n          - {{name: SETTING_03, value: \"own of c{cluster:04}\"}}\n          - {{name: EXTRA, value: \"{cluster}\"}}\n").unwrap();
            }
            file(&format!("clusters/c{cluster:04}/cluster.yaml"), &text);
            let vars = format!("kind: ResourceConfig\nregion: region-{}\nzone: c{cluster:04}\n", cluster % 7);
            file(&format!("clusters/c{cluster:04}/configuration-var.yaml"), &vars);
        }
    }

    fn deployment(&self) -> &'static str {
        match self.dialect {
            Dialect::Jinja => JINJA,
            Dialect::Mustache => MUSTACHE,
        }
    }

    /// Writes a kustomize tree that makes the same objects.
    pub(crate) fn write_kustomize(&self, root: &Path) {
        let file = |path: &str, text: &str| write(root, path, text);
        let mut list = "resources:\n".to_owned();
        for resource in 0..self.resources {
            let name = format!("svc-{resource:03}");
            writeln!(list, "- {name}.yaml").unwrap();
            let mut text = format!(
                "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {name}\n  labels: {{app: {name}}}\nspec:\n  replicas: 2\n  selector:\n    matchLabels: {{app: {name}}}\n  template:\n    metadata:\n      labels: {{app: {name}}}\n    spec:\n      containers:\n"
            );
            for container in ["app", "side"] {
                write!(text, "      - name: {container}\n        image: registry.example.com/org/{name}-{container}:main-0123abc\n        ports:\n        - containerPort: 8080\n        env:\n").unwrap();
                for variable in 0..VARIABLES {
                    write!(text, "        - name: SETTING_{variable:02}\n          value: \"value {variable} of {name}\"\n").unwrap();
                }
            }
            write!(text, "---\napiVersion: v1\nkind: Service\nmetadata:\n  name: {name}-svc\nspec:\n  type: ClusterIP\n  ports:\n  - port: 80\n    targetPort: 8080\n  selector: {{app: {name}}}\n").unwrap();
            file(&format!("base/{name}.yaml"), &text);
        }
        file("base/kustomization.yaml", &list);
        for cluster in 0..self.clusters {
            let mut text =
                format!("resources: [../../base]\ncommonAnnotations: {{zone: c{cluster:04}}}\npatches:\n");
            for resource in (0..self.resources).step_by(10) {
                write!(text, "- patch: |\n    apiVersion: apps/v1\n    kind: Deployment\n    metadata: {{name: svc-{resource:03}}}\n    spec:\n      template:\n        spec:\n          containers:\n          - name: app\n            env:\n            - {{name: SETTING_03, value: own of c{cluster:04}}}\n            - {{name: EXTRA, value: \"{cluster}\"}}\n").unwrap();
            }
            file(&format!("overlays/c{cluster:04}/kustomization.yaml"), &text);
        }
    }
}

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// Valid in both dialects.
const SERVICE: &str = "\
apiVersion: v1
kind: Service
metadata:
  name: {{svc.name}}
  labels:
    app: {{name}}
    zone: {{zone}}
spec:
  type: ClusterIP
  ports:
    - port: {{svc.port}}
      targetPort: 8080
      protocol: TCP
  selector:
    app: {{name}}
";

const JINJA: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ name }}
  labels:
    app: {{ name }}
    zone: {{ zone }}
spec:
  replicas: {{ deployment.replicaCount }}
  selector:
    matchLabels:
      app: {{ name }}
  template:
    metadata:
      labels:
        app: {{ name }}
    spec:
      containers:
        - name: app
          image: {{ app.image }}
          ports:
            - containerPort: {{ app.port }}
          env:
            - name: REGION
              value: \"{{ region }}\"
{% for e in app.env %}
            - name: {{ e.name }}
              value: \"{{ e.value }}\"
{% endfor %}
        - name: side
          image: {{ side.image }}
          env:
{% for e in side.env %}
            - name: {{ e.name }}
              value: \"{{ e.value }}\"
{% endfor %}
";

const MUSTACHE: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{name}}
  labels:
    app: {{name}}
    zone: {{zone}}
spec:
  replicas: {{deployment.replicaCount}}
  selector:
    matchLabels:
      app: {{name}}
  template:
    metadata:
      labels:
        app: {{name}}
    spec:
      containers:
        - name: app
          image: {{{app.image}}}
          ports:
            - containerPort: {{app.port}}
          env:
            - name: REGION
              value: \"{{region}}\"
            {{#app.env}}
            - name: {{name}}
              value: \"{{{value}}}\"
            {{/app.env}}
        - name: side
          image: {{{side.image}}}
          env:
            {{#side.env}}
            - name: {{name}}
              value: \"{{{value}}}\"
            {{/side.env}}
";
