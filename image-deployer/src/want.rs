//! Which images are asked for, and where each is to be written.

use cli::Problem;
use gitrepo::edit::PropertyPath;
use manifest::{ImageRef, image_file, image_file::not_a_path, tag_safe};

use crate::{
    args::{Args, PartArg},
    part::Part,
    request::text,
};

/// One image, and where it is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Want {
    pub(crate) image: ImageRef,
    pub(crate) place: Place,
}

/// Where an image is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// kit's layout: `<images.path>/<repository>/<branch>.yaml`.
    ImageFile {
        /// `acme/web`
        repository: String,
        /// The branch that the image was built from.
        branch: String,
    },
    /// A property of a file.
    Property {
        /// From the root of the repository.
        file: String,
        /// Where in the file.
        path: PropertyPath,
        /// What of the image.
        part: Part,
    },
    /// Every place below a path that carries an image of the same repository.
    Everywhere {
        /// From the root of the repository.
        path: String,
    },
}

/// An image as it was asked for, with the place that a line of stdin named.
struct Asked {
    image: ImageRef,
    place: Option<(String, String)>,
}

/// Reads the images and pairs them with their places. All problems are reported.
pub(crate) fn wants(
    args: &Args,
    branch: Option<&str>,
    stdin: &mut dyn FnMut() -> std::io::Result<String>,
) -> Result<Vec<Want>, Vec<Problem>> {
    let asked = images(args, branch, stdin)?;
    let mut problems = Vec::new();
    let mut wants = Vec::new();
    let pairs = pairs(args, asked.iter().filter(|asked| asked.place.is_none()).count());
    let mut pairs = match pairs {
        Ok(pairs) => pairs.into_iter(),
        Err(problem) => return Err(vec![problem]),
    };
    let explicit = !args.file.is_empty() || !args.property.is_empty();
    for Asked { image, place } in asked {
        let places = match place {
            Some((file, property)) => vec![property_place(args, &file, &property)],
            None if explicit => pairs
                .next()
                .unwrap_or_default()
                .iter()
                .map(|(file, property)| property_place(args, file, property))
                .collect(),
            None if args.everywhere.is_empty() => vec![image_file_place(args, &image, branch)],
            None => args.everywhere.iter().map(|path| everywhere(path)).collect(),
        };
        for place in places {
            match place {
                Ok(place) => wants.push(Want { image: image.clone(), place }),
                Err(problem) => problems.push(problem),
            }
        }
    }
    if problems.is_empty() { Ok(wants) } else { Err(problems) }
}

fn images(
    args: &Args,
    branch: Option<&str>,
    stdin: &mut dyn FnMut() -> std::io::Result<String>,
) -> Result<Vec<Asked>, Vec<Problem>> {
    let mut asked = Vec::new();
    let mut problems = Vec::new();
    for argument in args.image.iter().map(|image| image.trim()).filter(|image| !image.is_empty()) {
        let (lines, origin) = if argument == "-" {
            match stdin() {
                Ok(lines) => (lines, "stdin"),
                Err(error) => {
                    problems.push(Problem::from_error(&error).context("cannot read images from stdin"));
                    continue;
                }
            }
        } else {
            (argument.to_owned(), "")
        };
        let before = asked.len() + problems.len();
        for (number, line) in lines.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match parse_line(line, origin == "stdin") {
                Ok(image) => asked.push(image),
                Err(problem) if origin.is_empty() => problems.push(problem),
                Err(problem) => problems.push(problem.context(format!("stdin:{}: not an image", number + 1))),
            }
        }
        if asked.len() + problems.len() == before {
            problems.push(
                Problem::new("stdin holds no image").hint("write lines such as `quay.io/acme/web:main-1`"),
            );
        }
    }
    if asked.is_empty() && problems.is_empty() {
        match built(args, branch) {
            Ok(image) => asked.push(Asked { image, place: None }),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(asked) } else { Err(problems) }
}

/// `IMAGE`, or on stdin `IMAGE FILE PROPERTY`.
fn parse_line(line: &str, may_name_a_place: bool) -> Result<Asked, Problem> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (image, place) = match words.as_slice() {
        [image, file, property] if may_name_a_place => {
            (*image, Some(((*file).to_owned(), (*property).to_owned())))
        }
        [_, _] if may_name_a_place => {
            return Err(Problem::new(format!("expected `IMAGE` or `IMAGE FILE PROPERTY`: `{line}`")));
        }
        _ => (line, None),
    };
    let image: ImageRef = image.parse().map_err(|error| Problem::from_error(&error))?;
    if image.tag().is_none() && image.digest().is_none() {
        return Err(Problem::new(format!("the image has neither a tag nor a digest: `{image}`"))
            .hint(format!("name the version, for example `--image {image}:1.0`")));
    }
    Ok(Asked { image, place })
}

/// `<registry>/<repo>:<branch>-<commit id>`, kit's rule, with a branch that a tag can hold.
fn built(args: &Args, branch: Option<&str>) -> Result<ImageRef, Problem> {
    let (registry, repo, id) = (text(&args.docker_registry), text(&args.docker_repo), text(&args.commit_id));
    let (Some(repo), Some(id)) = (&repo, &id) else {
        return Err(Problem::new("no image is given").hint(
            "name it with `--image IMAGE` (IMAGE), or have it built with `--docker-registry`, `--docker-repo`, \
             `--branch` and `--commit-id`",
        ));
    };
    let branch = branch.ok_or_else(no_branch)?;
    // A tag has 128 characters; the commit is what must not be cut off.
    let room = 127usize.saturating_sub(id.len());
    let safe = tag_safe(branch, room);
    if safe.is_empty() {
        return Err(Problem::new(format!("no tag can be made of the branch's name: `{branch}`")));
    }
    ImageRef::from_parts(registry.as_deref(), repo.trim_matches('/'), &format!("{safe}-{id}"))
        .map_err(|error| Problem::from_error(&error))
}

fn no_branch() -> Problem {
    Problem::new("the branch that the image was built from is not known")
        .hint("name it with `--branch BRANCH` (CI_BRANCH)")
}

fn image_file_place(args: &Args, image: &ImageRef, branch: Option<&str>) -> Result<Place, Problem> {
    let branch = branch.ok_or_else(no_branch)?;
    let repository = match text(&args.docker_repo) {
        Some(repo) if args.image.iter().filter(|image| !image.trim().is_empty()).count() < 2 => {
            repo.trim_matches('/').to_owned()
        }
        _ => image.repository().to_owned(),
    };
    // The folder of `kit.yaml` is not known yet, but the names are.
    image_file(&repository, branch).map_err(|error| Problem::from_error(&error))?;
    Ok(Place::ImageFile { repository, branch: branch.to_owned() })
}

/// A path that a user typed, from the root of the repository: `./` and a final `/` are dropped.
fn repository_path(typed: &str, flag: &str) -> Result<String, Problem> {
    let path = typed.trim().trim_start_matches("./").trim_end_matches('/');
    match not_a_path(path) {
        None => Ok(path.to_owned()),
        Some(why) => Err(Problem::new(format!("`{flag}` is not a path in the repository, {why}: `{typed}`"))),
    }
}

fn everywhere(path: &str) -> Result<Place, Problem> {
    // The whole repository.
    if matches!(path.trim(), "." | "./" | "/") {
        return Ok(Place::Everywhere { path: String::new() });
    }
    Ok(Place::Everywhere { path: repository_path(path, "--everywhere")? })
}

fn property_place(args: &Args, file: &str, property: &str) -> Result<Place, Problem> {
    let file = repository_path(file, "--file")?;
    let path: PropertyPath = property.parse().map_err(|error| Problem::from_error(&error))?;
    let part = match args.part {
        None | Some(PartArg::Auto) => Part::of_key(path.last_key().unwrap_or_default()),
        Some(PartArg::Image) => Part::Image,
        Some(PartArg::Tag) => Part::Tag,
        Some(PartArg::Digest) => Part::Digest,
        Some(PartArg::Name) => Part::Name,
    };
    Ok(Place::Property { file, path, part })
}

/// The `--file`/`--property` pairs of each image: all of them for one image, one each for several.
fn pairs(args: &Args, images: usize) -> Result<Vec<Vec<(String, String)>>, Problem> {
    let (files, properties) = (&args.file, &args.property);
    if files.is_empty() && properties.is_empty() {
        return Ok(Vec::new());
    }
    if !args.everywhere.is_empty() {
        return Err(Problem::new(
            "`--everywhere` finds its places itself, it goes without `--file` and `--property`",
        ));
    }
    let pairs: Vec<(String, String)> = match (files.len(), properties.len()) {
        (0, _) => return Err(Problem::new("`--property` needs `--file`, the file that has the property")),
        (_, 0) => {
            return Err(Problem::new("`--file` needs `--property`, the property of the file to set")
                .hint("for example `--property image.tag`"));
        }
        (1, _) => properties.iter().map(|property| (files[0].clone(), property.clone())).collect(),
        (_, 1) => files.iter().map(|file| (file.clone(), properties[0].clone())).collect(),
        (f, p) if f == p => files.iter().cloned().zip(properties.iter().cloned()).collect(),
        (f, p) => {
            return Err(Problem::new(format!("{f} `--file` and {p} `--property` do not make pairs")));
        }
    };
    match images {
        0 | 1 => Ok(vec![pairs]),
        n if n == pairs.len() => Ok(pairs.into_iter().map(|pair| vec![pair]).collect()),
        n => Err(Problem::new(format!("{n} images and {} places do not make pairs", pairs.len())).hint(
            "give one `--file` and `--property` for each image, or lines `IMAGE FILE PROPERTY` on stdin",
        )),
    }
}
