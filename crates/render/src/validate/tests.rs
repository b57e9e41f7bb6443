//! Bad manifests and exactly what is said about them; good ones and silence.

use manifest::yaml::{self, Node, Schema};

use super::bundle::Bundle;
use super::schema::{Object, Shape};
use super::{Basis, Catalog, KubernetesVersion, bundle};

fn read(text: &str) -> Vec<Node> {
    let documents = yaml::read(text, "test.yaml", Schema::Kubernetes).unwrap();
    documents.into_iter().filter(|document| !document.is_empty()).map(|document| document.root).collect()
}

/// Every finding of every object as `line:column path: message (found) -> hint`.
fn lines(catalog: &Catalog, objects: &[Node]) -> Vec<String> {
    let findings = objects.iter().flat_map(|object| catalog.validate(object).findings);
    let line = |finding: super::Finding| {
        let found = finding.found.as_ref().map(|found| format!(" ({found})")).unwrap_or_default();
        let hint = finding.hint.as_ref().map(|hint| format!(" -> {hint}")).unwrap_or_default();
        format!("{}:{} {finding}{found}{hint}", finding.line, finding.column)
    };
    findings.map(line).collect()
}

fn catalog(version: &str) -> Catalog {
    Catalog::bundled(version.parse().unwrap())
}

fn said(text: &str) -> Vec<String> {
    lines(&catalog("1.36"), &read(text))
}

/// A Deployment in which one line of the container is `line`.
fn deployment(line: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: cart}}\nspec:\n  selector: {{matchLabels: {{app: cart}}}}\n  \
         template:\n    metadata: {{labels: {{app: cart}}}}\n    spec:\n      containers:\n      - name: cart\n        image: shop/cart:1\n        {line}\n"
    )
}

#[test]
fn a_good_deployment_has_no_findings() {
    assert_eq!(said(&deployment("imagePullPolicy: Always")), Vec::<String>::new());
    // What is null is not given, and what is empty has its default.
    assert_eq!(
        said(&deployment("env: null\n        imagePullPolicy: ''\n        ports:")),
        Vec::<String>::new()
    );
}

#[test]
fn fields_are_held_against_the_schema() {
    let at = "12:9 spec.template.spec.containers[0]";
    let inside = "spec.template.spec.containers[0]";
    for (line, expected) in [
        ("imgae: x", format!("{at}.imgae: unknown field -> did you mean `image`?")),
        (
            "imagePullPolicy: always",
            format!(
                "12:26 {inside}.imagePullPolicy: expected one of Always, IfNotPresent, Never (always) -> did you mean `Always`?"
            ),
        ),
        ("args: x", format!("12:15 {inside}.args: expected a list, found a string")),
        (
            "args: {a: b}",
            format!("12:15 {inside}.args: expected a list, found a mapping -> start each element with `- `"),
        ),
        (
            "args: [8080]",
            format!(
                "12:16 {inside}.args[0]: expected a string, found a number -> quote it, so that it is text and not a number"
            ),
        ),
        (
            "env: [{name: A, value: yes}]",
            format!(
                "12:32 {inside}.env[0].value: expected a string, found a boolean -> quote it: unquoted true, yes, on, false, no and off are booleans here"
            ),
        ),
        ("env: [{value: x}]", format!("12:15 {inside}.env[0].name: required field is missing")),
        (
            "env: [{name: A, value: x}, {name: A, value: z}]",
            format!("12:43 {inside}.env[1]: the same `name` as the element in line 12"),
        ),
        (
            "ports: [{containerPort: '80'}]",
            format!(
                "12:33 {inside}.ports[0].containerPort: expected an integer, found a string -> write it without quotes"
            ),
        ),
        (
            "ports: [{containerPort: 80.5}]",
            format!(
                "12:33 {inside}.ports[0].containerPort: expected an integer, found a number with a fraction"
            ),
        ),
        (
            "ports: [{containerPort: 80800}]",
            format!("12:33 {inside}.ports[0].containerPort: must be between 1 and 65535 (80800)"),
        ),
        (
            "ports: [{containerPort: 80}, {containerPort: 80, protocol: TCP}]",
            format!(
                "12:54 {inside}.ports[1]: the same `containerPort` and `protocol` as the element in line 12"
            ),
        ),
        (
            "stdin: 'true'",
            format!("12:16 {inside}.stdin: expected a boolean, found a string -> write it without quotes"),
        ),
        (
            "resources: {limits: {memory: 1GB}}",
            format!(
                "12:38 {inside}.resources.limits.memory: expected a quantity (1GB) -> write a number with a unit, as in `500m`, `2`, `128Mi` or `1.5Gi`"
            ),
        ),
        (
            "resources: {limits: {cpu: 1}, requests: {cpu: 1500m}}",
            format!("12:55 {inside}.resources.requests.cpu: the request is more than the limit"),
        ),
        (
            "volumeMounts: [{name: data, mountPath: /data}]",
            format!("12:31 {inside}.volumeMounts[0].name: the pod has no volume of this name (data)"),
        ),
        (
            "readinessProbe: {periodSeconds: 5}",
            format!("12:25 {inside}.readinessProbe: needs a handler: one of exec, httpGet, tcpSocket, grpc"),
        ),
        (
            "readinessProbe: {httpGet: {port: '8080'}}",
            format!(
                "12:42 {inside}.readinessProbe.httpGet.port: expected a port's name: 15 characters at most of `a-z`, `0-9` and `-`, one letter at least (8080) -> write the number without quotes"
            ),
        ),
    ] {
        assert_eq!(said(&deployment(line)), [expected], "{line}");
    }
}

#[test]
fn all_findings_are_reported_in_the_order_of_lines() {
    let text = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: Cart\n  labels: {tier: a b}\nspec:\n  replicas: two\n  selector: {matchLabels: {app: cart}}\n  template:\n    metadata: {labels: {app: shop}}\n    spec: {container: []}\n";
    assert_eq!(
        said(text),
        [
            "4:9 metadata.name: expected a name of lower-case letters, digits, `-` and `.`, 253 characters at most (Cart)",
            "5:18 metadata.labels.tier: expected a label's value: 63 characters at most of letters, digits, `-`, `_` and `.`, starting and ending with a letter or digit (a b)",
            "7:13 spec.replicas: expected an integer, found a string",
            "8:33 spec.selector.matchLabels.app: differs from the label in `spec.template.metadata.labels`, line 10 (cart)",
            "11:11 spec.template.spec.containers: required field is missing",
            "11:12 spec.template.spec.container: unknown field -> did you mean `containers`?",
        ]
    );
}

#[test]
fn kinds_that_do_not_exist_name_what_to_use() {
    let object = |api_version: &str, kind: &str| {
        format!("apiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: a}}\n")
    };
    for (version, api_version, kind, expected) in [
        (
            "1.36",
            "extensions/v1beta1",
            "Deployment",
            "1:13 apiVersion: `extensions/v1beta1` has had no Deployment since Kubernetes 1.16 -> use `apps/v1`; `spec.selector` is required there",
        ),
        (
            "1.36",
            "batch/v1beta1",
            "CronJob",
            "1:13 apiVersion: `batch/v1beta1` has had no CronJob since Kubernetes 1.25 -> use `batch/v1`",
        ),
        (
            "1.36",
            "apps/v1",
            "Deploymnet",
            "2:7 kind: Kubernetes 1.36 has no kind Deploymnet in `apps/v1` -> did you mean `Deployment`?",
        ),
        (
            "1.36",
            "v1",
            "Deployment",
            "1:13 apiVersion: Kubernetes 1.36 has no Deployment in `v1` -> use `apps/v1`",
        ),
        (
            "1.36",
            "app/v1",
            "Deployment",
            "1:13 apiVersion: Kubernetes 1.36 has no API `app/v1` -> did you mean `apps/v1`?",
        ),
        (
            "1.33",
            "resource.k8s.io/v1",
            "DeviceClass",
            "1:13 apiVersion: `resource.k8s.io/v1` has no DeviceClass before Kubernetes 1.34; this is 1.33 -> use `resource.k8s.io/v1beta2`",
        ),
        (
            "1.37",
            "networking.k8s.io/v1beta1",
            "ServiceCIDR",
            "1:13 apiVersion: `networking.k8s.io/v1beta1` has no ServiceCIDR after Kubernetes 1.36; this is 1.37 -> use `networking.k8s.io/v1`",
        ),
    ] {
        assert_eq!(lines(&catalog(version), &read(&object(api_version, kind))), [expected]);
    }
}

#[test]
fn what_is_no_object_says_so() {
    assert_eq!(said("- a\n"), ["1:1 expected a Kubernetes object, found a list"]);
    assert_eq!(said("kind: Pod\n"), ["1:1 apiVersion: required field is missing"]);
    assert_eq!(said("apiVersion: 1\nkind: Pod\n"), ["1:13 apiVersion: expected a string, found a number"]);
    assert_eq!(said("apiVersion: v1\nkind: ConfigMap\n"), ["1:1 metadata.name: required field is missing"]);
}

#[test]
fn the_elements_of_a_list_are_objects() {
    let text = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: a}\n  dat: {}\n";
    assert_eq!(said(text), ["7:3 items[0].dat: unknown field -> did you mean `data`?"]);
}

#[test]
fn rules_of_other_kinds_are_known() {
    for (text, expected) in [
        (
            "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {selector: {app: a}}\n",
            vec![
                "4:7 spec.ports: required field is missing -> only a headless Service (`clusterIP: None`) has no ports",
            ],
        ),
        (
            "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec:\n  ports: [{port: 80}, {port: 81}]\n",
            vec![
                "5:11 spec.ports[0].name: required field is missing -> with several ports, each has a name",
                "5:23 spec.ports[1].name: required field is missing -> with several ports, each has a name",
            ],
        ),
        ("apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {clusterIP: None}\n", vec![]),
        (
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a b: x, c: 1}\n",
            vec![
                "4:8 data[\"a b\"]: expected a key of letters, digits, `-`, `_` and `.`, 253 characters at most",
                "4:19 data.c: expected a string, found a number -> quote it, so that it is text and not a number",
            ],
        ),
        (
            "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ndata: {a: plain}\n",
            vec!["4:11 data.a: not valid base64 -> for plain text, use `stringData` if this is a Secret"],
        ),
        (
            "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: a}\nspec:\n  schedule: 0 25 * * *\n  jobTemplate: {spec: {template: {spec: {containers: [{name: a, image: b}]}}}}\n",
            vec![
                "5:13 spec.schedule: expected a schedule of five fields: minute, hour, day, month, day of the week (0 25 * * *)",
                "6:41 spec.jobTemplate.spec.template.spec.restartPolicy: required field is missing -> in a Job, write `restartPolicy: Never` or `OnFailure`",
            ],
        ),
        (
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: 'a:b'}\nroleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: a}\nsubjects: [{kind: ServiceAccount, name: a}]\n",
            vec![
                "5:12 subjects[0].namespace: required field is missing -> a ServiceAccount lives in a namespace",
            ],
        ),
    ] {
        assert_eq!(said(text), expected);
    }
}

const CRD: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: caches.shop.example.com}
spec:
  group: shop.example.com
  scope: Namespaced
  names: {kind: Cache, plural: caches}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    schema:
      openAPIV3Schema:
        type: object
        required: [spec]
        properties:
          spec:
            type: object
            required: [size, mode]
            properties:
              size: {type: integer, minimum: 1, maximum: 9}
              mode: {type: string, enum: [lru, fifo], default: lru}
              name: {type: string, pattern: '^[a-z]+$', maxLength: 5}
              port: {x-kubernetes-int-or-string: true}
              extra: {type: object, x-kubernetes-preserve-unknown-fields: true}
              labels: {type: object, additionalProperties: {type: string}}
              maybe: {type: string, nullable: true}
              hosts: {type: array, x-kubernetes-list-type: set, minItems: 1, items: {type: string}}
              from:
                type: object
                properties: {file: {type: string}, url: {type: string}}
                oneOf: [{required: [file]}, {required: [url]}]
          status:
            type: object
            required: [phase]
            properties: {phase: {type: string}}
  - name: v1alpha1
    served: false
    storage: false
    schema: {openAPIV3Schema: {type: object}}
";

fn custom(spec: &str) -> Vec<String> {
    let catalog = catalog("1.36").with_crds(&read(CRD));
    let text = format!("apiVersion: shop.example.com/v1\nkind: Cache\nmetadata: {{name: a}}\nspec: {spec}\n");
    lines(&catalog, &read(&text))
}

#[test]
fn custom_objects_are_held_against_the_definition_in_the_same_render() {
    assert_eq!(said(CRD), Vec::<String>::new());
    let good = "{size: 1, name: abc, port: http, extra: {x: {y: 1}}, labels: {a: b}, maybe: null, hosts: [a], from: {url: x}}";
    assert_eq!(custom(good), Vec::<String>::new());
    for (spec, expected) in [
        ("{size: 1, sise: 2}", "4:17 spec.sise: unknown field -> did you mean `size`?"),
        ("{}", "4:7 spec.size: required field is missing"),
        ("{size: 10}", "4:14 spec.size: must be at most 9 (10)"),
        ("{size: null}", "4:14 spec.size: expected an integer, found null"),
        ("{size: 1, mode: mru}", "4:23 spec.mode: expected one of lru, fifo (mru) -> did you mean `lru`?"),
        ("{size: 1, name: abc1}", "4:23 spec.name: does not match the pattern `^[a-z]+$` (abc1)"),
        ("{size: 1, name: abcdef}", "4:23 spec.name: must have at most 5 characters, has 6"),
        (
            "{size: 1, port: 1.5}",
            "4:23 spec.port: expected an integer or a string, found a number with a fraction",
        ),
        (
            "{size: 1, labels: {a: 1}}",
            "4:29 spec.labels.a: expected a string, found a number -> quote it, so that it is text and not a number",
        ),
        ("{size: 1, hosts: []}", "4:24 spec.hosts: must have at least 1 elements, has 0"),
        ("{size: 1, hosts: [a, a]}", "4:28 spec.hosts[1]: the same element as in line 4"),
        (
            "{size: 1, from: {}}",
            "4:23 spec.from: fits none of 2 alternatives -> one of these must be solved: spec.from.file: required field is missing; spec.from.url: required field is missing",
        ),
        (
            "{size: 1, from: {file: a, url: b}}",
            "4:23 spec.from: fits 2 of 2 alternatives that exclude each other",
        ),
    ] {
        assert_eq!(custom(spec), [expected], "{spec}");
    }
}

#[test]
fn a_version_that_is_not_served_is_an_error() {
    let catalog = catalog("1.36").with_crds(&read(CRD));
    let object = |version: &str| {
        read(&format!("apiVersion: shop.example.com/{version}\nkind: Cache\nmetadata: {{name: a}}\n"))
    };
    assert_eq!(
        lines(&catalog, &object("v1alpha1")),
        ["1:13 this version of the kind is not served -> use `shop.example.com/v1`"]
    );
    assert_eq!(
        lines(&catalog, &object("v2")),
        [
            "1:13 apiVersion: the definition of Cache has no version `shop.example.com/v2` -> use `shop.example.com/v1`"
        ]
    );
}

#[test]
fn a_custom_object_without_a_definition_is_told_apart() {
    let object = &read(
        "apiVersion: other.example.com/v1\nkind: Thing\nmetadata: {name: a, label: {}}\nanything: [goes]\n",
    )[0];
    let checked = catalog("1.36").validate(object);
    assert_eq!(checked.basis, Basis::Nothing);
    assert_eq!(
        checked.findings.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["metadata.label: unknown field"]
    );
    assert_eq!(checked.findings[0].hint.as_deref(), Some("did you mean `labels`?"));
}

#[test]
fn status_is_read_but_not_judged() {
    let catalog = catalog("1.36").with_crds(&read(CRD));
    let text =
        "apiVersion: shop.example.com/v1\nkind: Cache\nmetadata: {name: a}\nspec: {size: 1}\nstatus: {}\n";
    assert_eq!(lines(&catalog, &read(text)), Vec::<String>::new());
    let text = "apiVersion: shop.example.com/v1\nkind: Cache\nmetadata: {name: a}\nspec: {size: 1}\nstatus: {fase: 1}\n";
    assert_eq!(lines(&catalog, &read(text)), ["5:10 status.fase: unknown field -> did you mean `phase`?"]);
}

#[test]
fn a_value_is_never_part_of_a_message() {
    let secret = "hunter2-hunter2";
    let text = deployment(&format!(
        "imagePullPolicy: {secret}\n        ports: {secret}\n        stdin: {secret}\n        volumeMounts: [{{name: {secret}, mountPath: /a}}]"
    ));
    for finding in catalog("1.36").validate(&read(&text)[0]).findings {
        assert!(!finding.to_string().contains(secret), "{finding}");
        assert!(!finding.hint.unwrap_or_default().contains(secret));
    }
}

#[test]
fn every_bundled_version_loads_whole() {
    assert_eq!(KubernetesVersion::bundled().len(), 5);
    for &minor in bundle::minors() {
        let bundle = Bundle::new(minor);
        let (mut fields, mut anything) = (0, Vec::new());
        for (name, object) in bundle.all() {
            fields += object.fields.len();
            anything.extend(open_fields(object).map(|field| format!("{name}.{field}")));
        }
        assert!(fields > 2400, "1.{minor} has {fields} fields");
        // Only a schema inside a schema takes any value; a reference that leads nowhere would, too.
        anything.retain(|field| !field.contains(".JSONSchemaProps."));
        assert_eq!(anything, Vec::<String>::new(), "1.{minor}");
        for kind in bundle::all_kinds().iter().filter(|kind| kind.minors().any(|known| known == minor)) {
            assert!(
                !bundle.definition(kind.definition).fields.is_empty(),
                "{} {}",
                kind.api_version,
                kind.kind
            );
        }
    }
}

fn open_fields(object: &Object) -> impl Iterator<Item = &str> {
    let open = |field: &&super::schema::Field| matches!(&field.schema.shape, Shape::Any);
    object.fields.iter().filter(open).map(|field| &*field.name)
}

#[test]
fn versions_are_read_as_people_write_them() {
    for text in ["1.36", "v1.36", "v1.36.2", "1.36.0-gke.1", "1.36+"] {
        assert_eq!(
            text.parse::<KubernetesVersion>().map(|version| version.to_string()),
            Ok("1.36".to_owned()),
            "{text}"
        );
    }
    for text in ["", "36", "1", "1.2", "2.36", "newest"] {
        assert_eq!(
            text.parse::<KubernetesVersion>().unwrap_err().to_string(),
            format!("no schemas for this version of Kubernetes: `{text}`")
        );
    }
}
