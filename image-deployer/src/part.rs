//! Which part of an image a property holds.

use manifest::ImageRef;

/// A part of an image reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// All of it.
    Image,
    /// The tag, with the digest if there is one: what follows `repository:` in a Helm chart.
    Tag,
    /// The digest.
    Digest,
    /// Registry and repository.
    Name,
}

impl Part {
    /// The part that a property of this name holds: `image.tag` of a Helm chart, `newTag` of a kustomization.
    pub(crate) fn of_key(key: &str) -> Part {
        let key = key.to_ascii_lowercase();
        match key.as_str() {
            "repository" | "newname" => Part::Name,
            key if key.ends_with("tag") => Part::Tag,
            key if key.ends_with("digest") => Part::Digest,
            _ => Part::Image,
        }
    }

    /// The text to write; an error is the part that the image does not have.
    pub(crate) fn text(self, image: &ImageRef) -> Result<String, &'static str> {
        let tag = || image.tag().ok_or("tag");
        match self {
            Part::Image => Ok(image.to_string()),
            Part::Name => Ok(image.name()),
            Part::Digest => image.digest().map(str::to_owned).ok_or("digest"),
            Part::Tag => match image.digest() {
                Some(digest) => Ok(format!("{}@{digest}", tag()?)),
                None => tag().map(str::to_owned),
            },
        }
    }
}

/// A name that is the same for all ways to write one repository: `nginx` is `docker.io/library/nginx`.
pub(crate) fn canonical_name(image: &ImageRef) -> String {
    match image.registry() {
        None | Some("docker.io" | "index.docker.io" | "registry-1.docker.io") => {
            let library = if image.repository().contains('/') { "" } else { "library/" };
            format!("docker.io/{library}{}", image.repository())
        }
        Some(_) => image.name(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_property_says_what_it_holds() {
        assert_eq!(["image", "containerImage", "x"].map(Part::of_key), [Part::Image; 3]);
        assert_eq!(["tag", "newTag", "imageTag"].map(Part::of_key), [Part::Tag; 3]);
        assert_eq!(["repository", "newName"].map(Part::of_key), [Part::Name; 2]);
        assert_eq!(Part::of_key("digest"), Part::Digest);
    }

    #[test]
    fn each_part_of_an_image_is_written_as_its_readers_expect() {
        let digest = format!("sha256:{}", "0".repeat(64));
        let image: ImageRef = format!("quay.io/acme/web:1@{digest}").parse().unwrap();
        assert_eq!(Part::Tag.text(&image).unwrap(), format!("1@{digest}"));
        assert_eq!(Part::Digest.text(&image).unwrap(), digest);
        assert_eq!(Part::Name.text(&image).unwrap(), "quay.io/acme/web");
        assert_eq!(Part::Digest.text(&"a:1".parse().unwrap()), Err("digest"));
        assert_eq!(Part::Tag.text(&"a".parse().unwrap()), Err("tag"));
    }

    #[test]
    fn the_ways_to_name_docker_hub_are_one() {
        let name = |text: &str| canonical_name(&text.parse().unwrap());
        assert_eq!(name("nginx:1"), "docker.io/library/nginx");
        assert_eq!(name("docker.io/library/nginx"), name("index.docker.io/nginx"));
        assert_eq!(name("acme/web"), "docker.io/acme/web");
        assert_eq!(name("quay.io/nginx"), "quay.io/nginx");
    }
}
