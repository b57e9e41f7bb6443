//! `--everywhere`: the places in a YAML file that carry an image of one repository.

use gitrepo::edit::Leaf;
use manifest::ImageRef;

use crate::part::{Part, canonical_name};

/// Recognises the places of one image.
#[derive(Debug)]
pub(crate) struct Places<'i> {
    image: &'i ImageRef,
    name: String,
    /// Places that were recognised and cannot be set: path, and why.
    pub(crate) refused: Vec<(String, String)>,
}

impl<'i> Places<'i> {
    pub(crate) fn of(image: &'i ImageRef) -> Self {
        Self { image, name: canonical_name(image), refused: Vec::new() }
    }

    /// Whether a file that is not read may be left out: it does not hold the last part of the repository's name.
    pub(crate) fn may_be_in(&self, content: &[u8]) -> bool {
        let needle = self.image.repository().rsplit('/').next().unwrap_or_default().as_bytes();
        content.windows(needle.len().max(1)).any(|window| window == needle)
    }

    /// The new text of a scalar, if it is one of the places.
    ///
    /// * A whole reference to the repository, where it cannot be taken for anything else: below a key that ends in
    ///   `image` or `images`, or with a registry in front and a tag or digest at its end (`redis:6379` may be a host).
    /// * `tag` beside `repository` (and `registry`), as Helm charts have it; `newTag` beside `newName` or `name`, as
    ///   kustomizations do; `digest` beside either, which would win over the tag and so must follow it.
    pub(crate) fn choose(&mut self, leaf: &Leaf<'_>) -> Option<String> {
        let key = leaf.key().unwrap_or_default();
        let lower = key.to_ascii_lowercase();
        match lower.as_str() {
            "tag" | "newtag" => return self.beside(leaf).then(|| self.text(leaf, Part::Tag)).flatten(),
            "digest" if !leaf.value.is_empty() => {
                return self.beside(leaf).then(|| self.text(leaf, Part::Digest)).flatten();
            }
            // The name of a pair, set through its tag.
            "repository" | "newname" | "name" => return None,
            _ => {}
        }
        let found: ImageRef = leaf.value.parse().ok()?;
        let image_key = lower.ends_with("image") || lower.ends_with("images");
        let versioned = found.tag().is_some() || found.digest().is_some();
        let certain = image_key || (found.registry().is_some() && versioned);
        (certain && canonical_name(&found) == self.name).then(|| self.image.to_string())
    }

    /// Whether the mapping around the leaf names the repository.
    fn beside(&self, leaf: &Leaf<'_>) -> bool {
        let registry = leaf.sibling("registry").filter(|registry| !registry.is_empty());
        ["newName", "repository", "name", "image"].iter().any(|key| {
            let Some(name) = leaf.sibling(key).filter(|name| !name.is_empty()) else { return false };
            let name = match registry {
                Some(registry) => format!("{registry}/{name}"),
                None => name.to_owned(),
            };
            name.parse::<ImageRef>().is_ok_and(|found| canonical_name(&found) == self.name)
        })
    }

    fn text(&mut self, leaf: &Leaf<'_>, part: Part) -> Option<String> {
        // `tag` and `digest` side by side: each gets its own part.
        let pinned = part == Part::Tag && leaf.sibling("digest").is_some_and(|digest| !digest.is_empty());
        let text = match (pinned, self.image.tag()) {
            (true, Some(tag)) => Ok(tag.to_owned()),
            _ => part.text(self.image),
        };
        match text {
            Ok(text) => Some(text),
            Err(missing) => {
                let why = format!("the image has no {missing}: {}", self.image);
                self.refused.push((leaf.path.to_string(), why));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gitrepo::edit::set_each;

    fn everywhere(image: &str, text: &str) -> (String, usize) {
        let image: ImageRef = image.parse().unwrap();
        let mut places = Places::of(&image);
        let edit = set_each("x.yaml", text.as_bytes(), &mut |leaf| places.choose(leaf)).unwrap();
        let new = edit.bytes.map_or(text.to_owned(), |bytes| String::from_utf8(bytes).unwrap());
        (new, places.refused.len())
    }

    #[test]
    fn whole_references_are_set_where_they_can_be_nothing_else() {
        let text = "image: nginx:1\nhost: nginx:80\nargs: [docker.io/library/nginx:1, nginx:1]\n\
                    images: [nginx, nginx-exporter:1]\nRELATED: docker.io/nginx\n";
        assert_eq!(
            everywhere("nginx:2", text).0,
            "image: nginx:2\nhost: nginx:80\nargs: [nginx:2, nginx:1]\n\
             images: [nginx:2, nginx-exporter:1]\nRELATED: docker.io/nginx\n"
        );
    }

    #[test]
    fn the_pairs_of_charts_and_kustomizations_are_set() {
        let text = "web:\n  image: {registry: quay.io, repository: acme/web, tag: 1}\n\
                    api:\n  image: {repository: quay.io/acme/api, tag: 1}\n\
                    images:\n- name: web\n  newName: quay.io/acme/web\n  newTag: a\n\
                    - name: quay.io/acme/web\n  newTag: a\n";
        assert_eq!(
            everywhere("quay.io/acme/web:1.10", text).0,
            "web:\n  image: {registry: quay.io, repository: acme/web, tag: \"1.10\"}\n\
             api:\n  image: {repository: quay.io/acme/api, tag: 1}\n\
             images:\n- name: web\n  newName: quay.io/acme/web\n  newTag: \"1.10\"\n\
             - name: quay.io/acme/web\n  newTag: \"1.10\"\n"
        );
    }

    #[test]
    fn a_digest_follows_its_tag_or_the_place_is_refused() {
        let text = format!("image:\n  repository: acme/web\n  tag: a\n  digest: sha256:{}\n", "0".repeat(64));
        let image = format!("acme/web:b@sha256:{}", "1".repeat(64));
        assert_eq!(everywhere(&image, &text).0, text.replace("tag: a", "tag: b").replace('0', "1"));
        assert_eq!(everywhere("acme/web:b", &text).1, 1);
    }
}
