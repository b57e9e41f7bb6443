//! Who is asking: a bearer token, or the common name of a client certificate.

/// An authenticated user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub name: String,
    pub groups: Vec<String>,
    /// The user that faults can single out.
    pub limited: bool,
}

/// The user of a request; `None` is 401.
pub(crate) fn user(
    authorization: Option<&str>,
    certificate: Option<&str>,
    admin_token: &str,
    limited_token: &str,
) -> Option<User> {
    let system = || vec!["system:masters".to_owned(), "system:authenticated".to_owned()];
    if let Some(header) = authorization {
        let token = header.strip_prefix("Bearer ")?.trim();
        if token == admin_token {
            return Some(User { name: "admin".into(), groups: system(), limited: false });
        }
        if token == limited_token {
            let groups = vec!["deployers".to_owned(), "system:authenticated".to_owned()];
            return Some(User { name: "deployer".into(), groups, limited: true });
        }
        return None;
    }
    certificate.map(|name| User { name: name.to_owned(), groups: system(), limited: false })
}
