//! From a path to what is asked.

use std::collections::HashMap;

/// A parsed request line.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Route {
    pub group: String,
    pub version: String,
    pub ns: String,
    pub resource: String,
    pub name: String,
    pub subresource: String,
}

/// Query parameters; the last of equal names wins.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query(HashMap<String, String>);

impl Query {
    pub(crate) fn parse(text: &str) -> Query {
        Query(
            text.split('&')
                .filter(|p| !p.is_empty())
                .map(|p| {
                    let (k, v) = p.split_once('=').unwrap_or((p, ""));
                    (percent_decode(k), percent_decode(v))
                })
                .collect(),
        )
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        matches!(self.get(name), Some("true" | "1" | "True" | "t"))
    }
}

pub(crate) fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        match bytes[i] {
            b'+' => out.push(b' '),
            b'%' => match text.get(i + 1..i + 3).and_then(|h| u8::from_str_radix(h, 16).ok()) {
                Some(b) => {
                    out.push(b);
                    i += 2;
                }
                None => out.push(b'%'),
            },
            b => out.push(b),
        }
        i += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Takes a resource path apart. `None` if it is not one.
pub(crate) fn parse(path: &str) -> Option<Route> {
    let parts: Vec<String> =
        path.trim_matches('/').split('/').map(|p| percent_decode(&p.replace('+', "%2B"))).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let (group, version, rest) = match parts.as_slice() {
        ["api", version, rest @ ..] => ("", *version, rest),
        ["apis", group, version, rest @ ..] => (*group, *version, rest),
        _ => return None,
    };
    let mut route = Route { group: group.to_owned(), version: version.to_owned(), ..Route::default() };
    let rest = match rest {
        ["namespaces", ns, resource, tail @ ..] if !matches!(*resource, "status" | "finalize") => {
            route.ns = (*ns).to_owned();
            route.resource = (*resource).to_owned();
            tail
        }
        [resource, tail @ ..] => {
            route.resource = (*resource).to_owned();
            tail
        }
        [] => return None,
    };
    match rest {
        [] => {}
        [name] => route.name = (*name).to_owned(),
        [name, sub] => {
            route.name = (*name).to_owned();
            route.subresource = (*sub).to_owned();
        }
        _ => return None,
    }
    Some(route)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_apart() {
        let r = parse("/apis/apps/v1/namespaces/a/deployments/b/scale").unwrap();
        assert_eq!(
            (&*r.group, &*r.ns, &*r.resource, &*r.name, &*r.subresource),
            ("apps", "a", "deployments", "b", "scale")
        );
        let r = parse("/api/v1/namespaces/a").unwrap();
        assert_eq!((&*r.resource, &*r.name, &*r.ns), ("namespaces", "a", ""));
        let r = parse("/api/v1/namespaces/a/status").unwrap();
        assert_eq!((&*r.resource, &*r.name, &*r.subresource), ("namespaces", "a", "status"));
        assert!(parse("/version").is_none());
        assert_eq!(Query::parse("a=b%3Dc&d").get("a"), Some("b=c"));
    }
}
