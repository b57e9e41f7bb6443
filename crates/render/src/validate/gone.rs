//! APIs that Kubernetes once served, and what to write instead
//! (<https://kubernetes.io/docs/reference/using-api/deprecation-guide/>).

/// A group and version that is gone.
pub(super) struct Gone {
    api_version: &'static str,
    /// Kinds, or none for all of the version.
    kinds: &'static [&'static str],
    /// The first minor version without it.
    pub(super) since: u32,
    /// What to write.
    pub(super) instead: &'static str,
}

const fn gone(
    api_version: &'static str,
    kinds: &'static [&'static str],
    since: u32,
    instead: &'static str,
) -> Gone {
    Gone { api_version, kinds, since, instead }
}

const WORKLOADS: &[&str] = &["DaemonSet", "Deployment", "ReplicaSet", "StatefulSet", "ControllerRevision"];

const TABLE: &[Gone] = &[
    gone(
        "extensions/v1beta1",
        &["Ingress"],
        22,
        "use `networking.k8s.io/v1`, with `pathType` and `backend.service`",
    ),
    gone("extensions/v1beta1", &["NetworkPolicy"], 16, "use `networking.k8s.io/v1`"),
    gone("extensions/v1beta1", &["PodSecurityPolicy"], 16, "use Pod Security Admission: label the namespace"),
    gone("extensions/v1beta1", &[], 16, "use `apps/v1`; `spec.selector` is required there"),
    gone("apps/v1beta1", WORKLOADS, 16, "use `apps/v1`; `spec.selector` is required there"),
    gone("apps/v1beta2", WORKLOADS, 16, "use `apps/v1`"),
    gone(
        "admissionregistration.k8s.io/v1beta1",
        &["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"],
        22,
        "use `admissionregistration.k8s.io/v1`, with `sideEffects` and `admissionReviewVersions`",
    ),
    gone(
        "apiextensions.k8s.io/v1beta1",
        &[],
        22,
        "use `apiextensions.k8s.io/v1`, with a schema in every version",
    ),
    gone("apiregistration.k8s.io/v1beta1", &[], 22, "use `apiregistration.k8s.io/v1`"),
    gone("authentication.k8s.io/v1beta1", &[], 22, "use `authentication.k8s.io/v1`"),
    gone("authorization.k8s.io/v1beta1", &[], 22, "use `authorization.k8s.io/v1`"),
    gone("autoscaling/v2beta1", &[], 25, "use `autoscaling/v2`, with `target.averageUtilization`"),
    gone("autoscaling/v2beta2", &[], 26, "use `autoscaling/v2`"),
    gone("batch/v2alpha1", &[], 21, "use `batch/v1`"),
    gone("batch/v1beta1", &[], 25, "use `batch/v1`"),
    gone(
        "certificates.k8s.io/v1beta1",
        &["CertificateSigningRequest"],
        22,
        "use `certificates.k8s.io/v1`, with `signerName`",
    ),
    gone("coordination.k8s.io/v1beta1", &["Lease"], 22, "use `coordination.k8s.io/v1`"),
    gone("discovery.k8s.io/v1beta1", &[], 25, "use `discovery.k8s.io/v1`"),
    gone("events.k8s.io/v1beta1", &[], 25, "use `events.k8s.io/v1`"),
    gone("flowcontrol.apiserver.k8s.io/v1beta1", &[], 26, "use `flowcontrol.apiserver.k8s.io/v1`"),
    gone("flowcontrol.apiserver.k8s.io/v1beta2", &[], 29, "use `flowcontrol.apiserver.k8s.io/v1`"),
    gone("flowcontrol.apiserver.k8s.io/v1beta3", &[], 32, "use `flowcontrol.apiserver.k8s.io/v1`"),
    gone(
        "networking.k8s.io/v1beta1",
        &["Ingress"],
        22,
        "use `networking.k8s.io/v1`, with `pathType` and `backend.service`",
    ),
    gone("networking.k8s.io/v1beta1", &["IngressClass"], 22, "use `networking.k8s.io/v1`"),
    gone("node.k8s.io/v1beta1", &[], 25, "use `node.k8s.io/v1`"),
    gone("policy/v1beta1", &["PodSecurityPolicy"], 25, "use Pod Security Admission: label the namespace"),
    gone("policy/v1beta1", &[], 25, "use `policy/v1`"),
    gone("rbac.authorization.k8s.io/v1alpha1", &[], 23, "use `rbac.authorization.k8s.io/v1`"),
    gone("rbac.authorization.k8s.io/v1beta1", &[], 22, "use `rbac.authorization.k8s.io/v1`"),
    gone("scheduling.k8s.io/v1beta1", &["PriorityClass"], 22, "use `scheduling.k8s.io/v1`"),
    gone("storage.k8s.io/v1beta1", &["CSIStorageCapacity"], 27, "use `storage.k8s.io/v1`"),
    gone(
        "storage.k8s.io/v1beta1",
        &["CSIDriver", "CSINode", "StorageClass", "VolumeAttachment"],
        22,
        "use `storage.k8s.io/v1`",
    ),
];

/// What is known about a kind that is no longer served.
pub(super) fn find(api_version: &str, kind: &str) -> Option<&'static Gone> {
    TABLE
        .iter()
        .find(|gone| gone.api_version == api_version && (gone.kinds.is_empty() || gone.kinds.contains(&kind)))
}

/// Whether the group and version was Kubernetes' own.
pub(super) fn knows(api_version: &str) -> bool {
    TABLE.iter().any(|gone| gone.api_version == api_version)
}
