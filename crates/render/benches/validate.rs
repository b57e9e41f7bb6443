//! How many objects a second are validated: `cargo bench -p render --bench validate [-- OBJECTS]`.
//!
//! The objects are those of a fleet: Deployments with a few containers, Services, ConfigMaps, CronJobs, Ingresses and
//! custom resources, each a text of its own. Three figures: reading the YAML, validating what was read, and both by all
//! cores, which is what compares with kubeconform's published 50,714 resources in 6.7 s on 4 cores.

#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use manifest::yaml::{self, Schema};
use rayon::prelude::*;
use render::validate::{Catalog, KubernetesVersion};

/// kubeconform's README: 50,714 resources in 6.7 s on 4 cores, a second and core.
const KUBECONFORM: f64 = 50_714.0 / 6.7 / 4.0;

fn main() {
    let count = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(10_000);
    let texts: Vec<String> = (0..count).map(text).collect();
    let bytes: usize = texts.iter().map(String::len).sum();
    println!("{count} objects, {} kB, {} cores", bytes / 1000, rayon::current_num_threads());

    let start = Instant::now();
    let catalog = Catalog::bundled(KubernetesVersion::newest());
    let first = yaml::read(&texts[0], "first.yaml", Schema::Kubernetes).unwrap();
    assert_eq!(catalog.validate(&first[0].root).findings, []);
    println!("from nothing to the first object: {:.2?}", start.elapsed());

    let crd = yaml::read(CRD, "crd.yaml", Schema::Kubernetes).unwrap();
    let catalog = catalog.with_crds(crd.iter().map(|document| &document.root));

    let start = Instant::now();
    let read: Vec<_> =
        texts.iter().map(|text| yaml::read(text, "a.yaml", Schema::Kubernetes).unwrap()).collect();
    say("read, one core", count, start.elapsed(), 1);

    let start = Instant::now();
    for document in read.iter().flatten() {
        let checked = catalog.validate(&document.root);
        assert!(checked.findings.is_empty(), "{:?}", checked.findings);
    }
    say("validate, one core", count, start.elapsed(), 1);

    let start = Instant::now();
    texts.par_iter().for_each(|text| {
        for document in yaml::read(text, "a.yaml", Schema::Kubernetes).unwrap() {
            black_box(catalog.validate(&document.root));
        }
    });
    say("read and validate, all cores", count, start.elapsed(), rayon::current_num_threads());
}

fn say(what: &str, count: usize, time: Duration, cores: usize) {
    let rate = count as f64 / time.as_secs_f64();
    let compared = rate / cores as f64 / KUBECONFORM;
    println!(
        "{what}: {time:.2?}, {rate:.0} objects/s, {compared:.1} times kubeconform's published rate by core"
    );
}

const CRD: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: caches.larkspur.example}
spec:
  group: larkspur.example
  scope: Namespaced
  names: {kind: Cache, plural: caches}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, required: [size], properties: {size: {type: integer, maximum: 64}, hosts: {type: array, items: {type: string, pattern: '^[a-z.]+$'}}}}}}}
";

fn text(number: usize) -> String {
    let head = |api: &str, kind: &str| {
        format!(
            "apiVersion: {api}\nkind: {kind}\nmetadata:\n  name: app-{number}\n  namespace: shop\n  labels:\n    app.kubernetes.io/name: app-{number}\n    \
             app.kubernetes.io/part-of: shop\n  annotations:\n    example.com/owner: team-{number}\n"
        )
    };
    match number % 6 {
        0 => head("apps/v1", "Deployment") + &DEPLOYMENT.replace("NAME", &format!("app-{number}")),
        1 => {
            head("v1", "Service")
                + "spec:\n  selector:\n    app: a\n  ports:\n  - name: http\n    port: 80\n    targetPort: http\n  - name: https\n    port: 443\n    targetPort: 8443\n"
        }
        2 => {
            head("v1", "ConfigMap")
                + "data:\n  a.properties: |\n    one=1\n    two=2\n    three=3\n  LOG_LEVEL: info\n  URL: http://example.com\n"
        }
        3 => head("batch/v1", "CronJob") + CRON_JOB,
        4 => head("networking.k8s.io/v1", "Ingress") + INGRESS,
        _ => {
            head("larkspur.example/v1", "Cache")
                + "spec:\n  size: 3\n  hosts:\n  - a.example\n  - b.example\n"
        }
    }
}

const DEPLOYMENT: &str = "spec:
  replicas: 3
  strategy:
    type: RollingUpdate
    rollingUpdate: {maxSurge: 25%, maxUnavailable: 0}
  selector:
    matchLabels:
      app: NAME
  template:
    metadata:
      labels:
        app: NAME
    spec:
      serviceAccountName: NAME
      terminationGracePeriodSeconds: 30
      containers:
      - name: app
        image: registry.example.com/shop/NAME:1.2.3
        imagePullPolicy: IfNotPresent
        ports:
        - {name: http, containerPort: 8080}
        - {name: metrics, containerPort: 9090}
        env:
        - {name: LOG_LEVEL, value: info}
        - {name: PORT, value: '8080'}
        - name: TOKEN
          valueFrom: {secretKeyRef: {name: NAME, key: token}}
        envFrom:
        - configMapRef: {name: NAME}
        resources:
          requests: {cpu: 100m, memory: 128Mi}
          limits: {memory: 256Mi}
        readinessProbe:
          httpGet: {path: /ready, port: http}
          periodSeconds: 5
        livenessProbe:
          httpGet: {path: /live, port: http}
        volumeMounts:
        - {name: config, mountPath: /etc/app}
        securityContext:
          runAsNonRoot: true
          capabilities: {drop: [ALL]}
      - name: proxy
        image: registry.example.com/shop/proxy:4.5.6
        ports:
        - {name: https, containerPort: 8443}
      volumes:
      - name: config
        configMap: {name: NAME}
      affinity:
        podAntiAffinity:
          preferredDuringSchedulingIgnoredDuringExecution:
          - weight: 100
            podAffinityTerm:
              topologyKey: kubernetes.io/hostname
              labelSelector: {matchLabels: {app: NAME}}
";

const CRON_JOB: &str = "spec:
  schedule: '*/5 * * * *'
  concurrencyPolicy: Forbid
  jobTemplate:
    spec:
      backoffLimit: 2
      template:
        spec:
          restartPolicy: OnFailure
          containers:
          - name: job
            image: registry.example.com/shop/job:1
            args: [run, --all]
            env:
            - {name: MODE, value: fast}
            resources: {requests: {cpu: 50m}}
";

const INGRESS: &str = "spec:
  ingressClassName: nginx
  tls:
  - hosts: [shop.example.com]
    secretName: shop-tls
  rules:
  - host: shop.example.com
    http:
      paths:
      - path: /
        pathType: Prefix
        backend:
          service: {name: shop, port: {number: 80}}
      - path: /api
        pathType: Prefix
        backend:
          service: {name: api, port: {name: http}}
";
