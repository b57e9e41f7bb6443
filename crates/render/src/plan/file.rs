//! One file of a resource: rendered and checked, unless another cluster has the same one.

use std::sync::{Arc, PoisonError};

use manifest::ObjectRef;
use manifest::yaml::Schema;

use super::{OutputFile, Renderer, Source};
use crate::check::{self, Finding};
use crate::memo::{Entry, Made, Recalled, Signature};
use crate::node::Node;
use crate::problem::{Place, Problem};
use crate::secrets::Secrets;
use crate::source::Merged;
use crate::stencil::{self, Stencil};
use crate::template::Engine;
use crate::trace::Trace;
use crate::view::View;

/// A resource of a cluster that is being rendered.
pub(super) struct Rendering<'a> {
    pub(super) merged: &'a Merged,
    pub(super) name: &'a Arc<str>,
    pub(super) view: &'a View,
    pub(super) secrets: &'a Secrets,
}

/// A rendered text, and how it came to be.
struct Output<'a> {
    engine: Engine,
    source: &'a Arc<str>,
    text: &'a str,
    name: &'a str,
    trace: Option<&'a Trace>,
}

impl Renderer {
    fn output_schema(&self) -> Schema {
        match self.repository.schema {
            Schema::JsYaml3 => Schema::Core,
            other @ (Schema::Kubernetes | Schema::Core) => other,
        }
    }

    /// Minijinja templates that several resources share need `output: NAME`.
    pub(crate) fn output_name(
        &self,
        engine: Engine,
        default: &str,
        definition: &Node,
    ) -> Result<String, Problem> {
        let given = definition.truthy("output").filter(|_| engine == Engine::Jinja);
        let Some(given) = given else { return Ok(default.to_owned()) };
        let text = given.to_text();
        let ends = [".yaml", ".yml", ".json"].iter().any(|end| text.ends_with(end));
        if is_file_name(&text) && ends {
            return Ok(text);
        }
        let problem = Problem::new(format!("`output` must be a file name that ends in `.yaml`: `{text}`"));
        Err(self.repository.at(problem, &given.origin))
    }

    pub(super) fn service(
        &self,
        rendering: &Rendering<'_>,
        engine: Option<Engine>,
        svc: &Arc<Node>,
    ) -> Result<Option<OutputFile>, Vec<Problem>> {
        let one = |problem: Problem| vec![self.repository.at(problem, &svc.origin)];
        let Some(name) = svc.truthy("name") else {
            let problem = Problem::new(format!("`svc` of resource `{}` needs a `name`", rendering.name));
            return Err(one(problem.hint("the service is written to `<name>.yaml`")));
        };
        let output = format!("{}.yaml", name.to_text());
        if !is_file_name(&output) {
            let problem = Problem::new(format!("`svc.name` is no file name: `{}`", name.to_text()));
            return Err(vec![self.repository.at(problem, &name.origin)]);
        }
        let Some((template, engine)) = self.templates.service(engine) else {
            let folder = crate::files::shown(&self.repository.folders.resources);
            let problem = Problem::new(format!(
                "resource `{}` has a `svc`, but there is no template for services",
                rendering.name
            ));
            return Err(one(problem.hint(format!("write {folder}/base-svc.yaml.j2"))));
        };
        self.file(rendering, engine, template, output)
    }

    /// Renders and checks one file; `None` if a minijinja template renders to nothing.
    pub(super) fn file(
        &self,
        rendering: &Rendering<'_>,
        engine: Engine,
        relative: &str,
        output: String,
    ) -> Result<Option<OutputFile>, Vec<Problem>> {
        let root = rendering.view.data(engine);
        // The same text in another cluster may have come from other places.
        let signature = match self.options.provenance {
            true => None,
            false => {
                let template = (engine, relative);
                self.memo.signature(&self.templates, &self.repository, rendering.name, template, root)
            }
        };
        let made = match signature {
            Some(signature) => self.recall_or_make(rendering, engine, relative, &output, signature)?,
            None => self.make(rendering, engine, relative, &output)?,
        };
        let Source { shown, rooted } = self.source(relative);
        Ok(made.map(|made| OutputFile {
            name: output,
            text: made.text,
            mode: made.mode,
            resource: rendering.name.clone(),
            source: shown,
            rooted_source: rooted,
            objects: made.objects,
            secret_lines: made.secret_lines,
            lines: made.lines,
            digest: made.digest,
        }))
    }

    fn recall_or_make(
        &self,
        rendering: &Rendering<'_>,
        engine: Engine,
        relative: &str,
        output: &str,
        signature: Signature,
    ) -> Result<Option<Made>, Vec<Problem>> {
        match self.memo.recall(rendering.name, relative, &signature) {
            Some(Recalled::Same(made)) => return Ok(made),
            Some(Recalled::Alike(entry)) => {
                if let Some(made) = self.fill(rendering, engine, relative, &signature, &entry) {
                    return Ok(Some(made));
                }
            }
            None => {}
        }
        let made = self.make(rendering, engine, relative, output)?;
        self.memo.put(rendering.name, relative, signature, made.clone());
        Ok(made)
    }

    /// The file of another cluster with the words of this one; `None` if it has to be rendered after all.
    fn fill(
        &self,
        rendering: &Rendering<'_>,
        engine: Engine,
        relative: &str,
        signature: &Signature,
        entry: &Entry,
    ) -> Option<Made> {
        let stencil =
            entry.stencil.get_or_init(|| self.stencil(rendering, engine, relative, signature, entry));
        let filled = stencil.as_ref()?.fill(&signature.printed)?;
        let objects = match filled.objects {
            Some(objects) => objects,
            // What is wrong is told by the rendering that follows.
            None => names(check::check(&filled.text, self.output_schema()).ok()?),
        };
        Some(Made {
            mode: None,
            objects,
            secret_lines: rendering.secrets.lines(&filled.text).into(),
            lines: Arc::default(),
            digest: Arc::default(),
            text: filled.text.into(),
        })
    }

    fn stencil(
        &self,
        rendering: &Rendering<'_>,
        engine: Engine,
        relative: &str,
        signature: &Signature,
        entry: &Entry,
    ) -> Option<Stencil> {
        let root = stencil::marked(rendering.view.data(engine), &signature.printed)?;
        let view = View { extended: root.clone(), root, secret: rendering.view.secret, warnings: Vec::new() };
        let mut text = String::new();
        let searched = &rendering.merged.searched;
        self.templates.render(&self.repository, engine, relative, &view, searched, &mut text).ok()?;
        Stencil::cut(&text, &entry.signature.printed, &signature.reads, entry.made.as_ref()?)
    }

    /// What the user calls a file of the resources; told once for all clusters.
    fn source(&self, relative: &str) -> Source {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(source) = sources.get(relative) {
            return source.clone();
        }
        let path = self.repository.folders.resources.join(relative);
        let source =
            Source { shown: crate::files::shown(&path).into(), rooted: self.repository.rooted(&path).into() };
        sources.insert(relative.to_owned(), source.clone());
        source
    }

    fn make(
        &self,
        rendering: &Rendering<'_>,
        engine: Engine,
        relative: &str,
        output: &str,
    ) -> Result<Option<Made>, Vec<Problem>> {
        let (text, mode): (Arc<str>, Option<u32>) = if engine == Engine::Copy {
            let copied =
                self.templates.copied(&self.repository, relative).map_err(|problem| vec![problem])?;
            (copied.text, Some(copied.mode))
        } else {
            let mut text = String::with_capacity(4096);
            self.templates.render(
                &self.repository,
                engine,
                relative,
                rendering.view,
                &rendering.merged.searched,
                &mut text,
            )?;
            (text.into(), None)
        };
        if engine == Engine::Jinja && text.trim().is_empty() {
            return Ok(None);
        }
        let objects = check::check(&text, self.output_schema()).map_err(|findings| {
            let source = self.source(relative).shown;
            let trace = self.trace(engine, relative, rendering.view, &text);
            let rendered =
                Output { engine, source: &source, text: &text, name: output, trace: trace.as_ref() };
            findings.iter().map(|finding| self.finding(rendering, finding, &rendered)).collect::<Vec<_>>()
        })?;
        Ok(Some(Made {
            mode,
            objects: names(objects),
            secret_lines: rendering.secrets.lines(&text).into(),
            lines: match self.options.provenance {
                true => Arc::new(self.lines(engine, relative, rendering.view, &text)),
                false => Arc::default(),
            },
            digest: Arc::default(),
            text,
        }))
    }

    /// What is wrong with an output, told by the template line and the values that made it.
    fn finding(&self, rendering: &Rendering<'_>, finding: &Finding, output: &Output<'_>) -> Problem {
        let Output { engine, source, text, name, trace } = output;
        let mut problem = if *engine == Engine::Copy {
            let place = Place { file: (*source).clone(), line: finding.line, column: finding.column };
            Problem::new(finding.message.clone()).at(place).excerpt_of(text)
        } else {
            let place = Place { file: (*name).into(), line: finding.line, column: finding.column };
            let excerpt = Problem::new("").at(place.clone()).excerpt_of(text).excerpt;
            let traced = trace.and_then(|trace| trace.at(finding.line, finding.column));
            let made = match &traced {
                Some((template, _)) => (*template).clone(),
                None => Place::of_file((*source).clone()),
            };
            let mut problem = Problem::new(format!("renders to {place}: {}", finding.message)).at(made);
            problem.excerpt = excerpt;
            for read in traced.into_iter().flat_map(|(_, reads)| reads) {
                let at = match self.repository.place(&read.origin) {
                    Some(at) => format!(" at {at}"),
                    None => String::new(),
                };
                problem = problem.cause(format!("`{}` is set{at} ({})", read.path, read.origin.layer.name()));
            }
            problem
        };
        problem.hints.extend(finding.hint.map(str::to_owned));
        rendering.secrets.mask_problem(&mut problem);
        problem
    }
}

fn names(objects: Vec<check::Object>) -> Arc<[ObjectRef]> {
    objects.into_iter().map(|object| object.name).collect()
}

/// One visible component of a path.
fn is_file_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 255
        && !name.starts_with('.')
        && !name.contains(['/', '\\'])
        && !name.chars().any(char::is_control)
}
