//! `--report FILE`: the format follows from the name, and the file is there whole or not at all.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::{Report, SUMMARY_LIMIT, junit, markdown, page};

/// A file to write a report to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportFile {
    path: PathBuf,
    format: ReportFormat,
}

/// How a report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportFormat {
    /// `.json`
    Json,
    /// `.xml`: `JUnit`.
    Junit,
    /// `.md`
    Markdown,
    /// `.html`
    Html,
}

/// Why a report could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The name does not say which format.
    #[error("a report file ends in .json, .xml, .md or .html: `{0}`")]
    Extension(String),
    /// The file system.
    #[error("cannot write the report: {}", .path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not a report.
    #[error("not a report")]
    Parse(#[source] serde_json::Error),
    /// Written by another version.
    #[error("the report is of version {found}, this program reads version {known}")]
    Version {
        /// In the file.
        found: u32,
        /// Ours.
        known: u32,
    },
}

impl FromStr for ReportFile {
    type Err = ReportError;

    fn from_str(text: &str) -> Result<Self, ReportError> {
        let path = PathBuf::from(text);
        let format = match path.extension().and_then(|extension| extension.to_str()) {
            Some("json") => ReportFormat::Json,
            Some("xml") => ReportFormat::Junit,
            Some("md") => ReportFormat::Markdown,
            Some("html" | "htm") => ReportFormat::Html,
            Some(_) | None => return Err(ReportError::Extension(text.to_owned())),
        };
        Ok(Self { path, format })
    }
}

impl ReportFile {
    /// Where.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How.
    #[must_use]
    pub fn format(&self) -> ReportFormat {
        self.format
    }

    /// Writes `report` beside the file and renames it into place.
    ///
    /// # Errors
    /// [`ReportError::Write`].
    pub fn write(&self, report: &Report) -> Result<(), ReportError> {
        let text = match self.format {
            ReportFormat::Json => return self.write_with(|out| report.write_json(out)),
            ReportFormat::Junit => junit(report),
            ReportFormat::Markdown => markdown(report, SUMMARY_LIMIT),
            ReportFormat::Html => page(&super::html::deploy(report)),
        };
        self.write_text(&text)
    }

    /// Writes `text` beside the file and renames it into place.
    ///
    /// # Errors
    /// [`ReportError::Write`].
    pub fn write_text(&self, text: &str) -> Result<(), ReportError> {
        self.write_with(|out| out.write_all(text.as_bytes()))
    }

    fn write_with(
        &self,
        fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
    ) -> Result<(), ReportError> {
        let failed = |source| ReportError::Write { path: self.path.clone(), source };
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let beside = self.path.with_file_name(format!(".{name}.{}", std::process::id()));
        let written = File::create(&beside)
            .and_then(|file| {
                let mut out = BufWriter::new(file);
                fill(&mut out)?;
                out.flush()
            })
            .and_then(|()| std::fs::rename(&beside, &self.path));
        if written.is_err() {
            // Nothing half-written stays behind; the first error is the one to tell.
            let _ = std::fs::remove_file(&beside);
        }
        written.map_err(failed)
    }
}
