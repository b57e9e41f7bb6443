//! The port of a service, from the Dockerfile of its image.

use std::collections::BTreeMap;

/// The first TCP port that the last stage exposes. Variables are followed to the defaults of `ARG` and `ENV`.
pub(super) fn exposed(text: &str) -> Option<u16> {
    let mut variables: BTreeMap<String, String> = BTreeMap::new();
    let mut port = None;
    for line in instructions(text) {
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((&line, ""));
        match word.to_ascii_uppercase().as_str() {
            "FROM" => port = None,
            "ARG" | "ENV" => assign(rest.trim(), &mut variables),
            "EXPOSE" if port.is_none() => {
                port = rest.split_whitespace().find_map(|given| tcp(&resolved(given, &variables)));
            }
            _ => {}
        }
    }
    port
}

/// Lines without comments, continued ones put together.
fn instructions(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.strip_suffix('\\') {
            Some(part) => open.push_str(&format!("{} ", part.trim_end())),
            None => {
                open.push_str(line);
                found.push(std::mem::take(&mut open));
            }
        }
    }
    found.push(open);
    found
}

/// `NAME=value NAME="value"`, or the old `ENV NAME value`.
fn assign(rest: &str, variables: &mut BTreeMap<String, String>) {
    if !rest.contains('=') {
        if let Some((name, value)) = rest.split_once(char::is_whitespace) {
            variables.insert(name.to_owned(), value.trim().to_owned());
        }
        return;
    }
    for (name, value) in rest.split_whitespace().filter_map(|pair| pair.split_once('=')) {
        let value = resolved(value.trim_matches(['"', '\'']), variables);
        variables.insert(name.to_owned(), value);
    }
}

/// `$NAME`, `${NAME}` and `${NAME:-default}`.
fn resolved(text: &str, variables: &BTreeMap<String, String>) -> String {
    let Some((before, rest)) = text.split_once('$') else { return text.to_owned() };
    let (name, default, after) = match rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
        Some((inner, after)) => match inner.split_once(":-") {
            Some((name, default)) => (name, default, after),
            None => (inner, "", after),
        },
        None => {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            (&rest[..end], "", &rest[end..])
        }
    };
    let value = variables.get(name).map_or(default, String::as_str);
    format!("{before}{value}{after}")
}

/// `8080`, `8080/tcp`, `8080-8090`.
fn tcp(given: &str) -> Option<u16> {
    let number = match given.split_once('/') {
        Some((number, protocol)) if protocol.eq_ignore_ascii_case("tcp") => number,
        Some(_) => return None,
        None => given,
    };
    number.split('-').next()?.trim_matches(['"', '\'']).parse().ok().filter(|port| *port > 0)
}

#[cfg(test)]
mod tests {
    use super::exposed;

    #[test]
    fn the_port_is_that_of_the_last_stage() {
        assert_eq!(
            exposed("FROM a\nEXPOSE 1\nFROM b\n# EXPOSE 2\nexpose 53/udp \\\n  9090/tcp\n"),
            Some(9090)
        );
        assert_eq!(exposed("FROM a\nEXPOSE 1\nFROM b\n"), None);
        assert_eq!(exposed("EXPOSE 3000-3005"), Some(3000));
        assert_eq!(exposed(""), None);
        assert_eq!(exposed("EXPOSE http 0 99999 \u{0}"), None);
    }

    #[test]
    fn a_port_may_be_a_variable_with_a_default() {
        assert_eq!(exposed("ARG PORT=8080\nENV P=\"$PORT\"\nFROM a\nEXPOSE ${P}/tcp"), Some(8080));
        assert_eq!(exposed("ENV PORT 81\nEXPOSE $PORT"), Some(81));
        assert_eq!(exposed("EXPOSE ${PORT:-7000}"), Some(7000));
        assert_eq!(exposed("EXPOSE $PORT"), None);
    }
}
