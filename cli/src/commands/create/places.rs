//! The repositories that get the archive: one, or several that fail each for itself.

use anyhow::Result;
use gabion_backends::Location;
use gabion_core::error::{Error, ErrorKind};
use gabion_core::id::RepositoryId;
use gabion_core::monitor::Monitor as _;
use gabion_core::repository::Repository;
use serde_json::{Map, Value as Json, json};

use super::{Args, answer};
use crate::context::Context;
use crate::exit_code::{self, Failure, Warnings};
use crate::progress::{Level, Reporter};
use crate::report;

/// One of the repositories.
pub(super) struct Place<'a> {
    pub context: &'a Context,
    /// Where it is.
    pub location: Location,
    /// None if it is missing, which only a dry run lets pass.
    pub repository: Option<Repository>,
}

impl Place<'_> {
    fn id(&self) -> Option<RepositoryId> {
        self.repository.as_ref().map(|repository| *repository.id())
    }
}

/// What became of each.
pub(super) struct Outcome {
    /// Whether there are several: then one that fails ends nothing.
    pub several: bool,
    warnings: Warnings,
    told: Vec<Map<String, Json>>,
    failure: Option<anyhow::Error>,
}

impl Outcome {
    /// Opens all, before anything is read and while somebody may be there to type passphrases. What did not open is told.
    pub fn open<'a>(context: &Context, contexts: &[&'a Context], args: &Args) -> Result<(Self, Vec<Place<'a>>)> {
        let locations = contexts.iter().map(|place| place.location()).collect::<Result<Vec<_>>>()?;
        let opened: Vec<_> = contexts.iter().map(|place| open(place, args)).collect();
        let several = contexts.len() > 1;
        let mut outcome = Self { several, warnings: Warnings::default(), told: Vec::new(), failure: None };
        let mut places: Vec<Place<'a>> = Vec::new();
        for ((place, location), opened) in contexts.iter().zip(locations).zip(opened) {
            match opened {
                Ok(repository) => {
                    let place = Place { context: place, location, repository };
                    if let Some(same) = places.iter().find(|before| before.id().is_some() && before.id() == place.id())
                    {
                        let message = format!("{} and {} are one repository", same.location, place.location);
                        return Err(Failure::command(message).into());
                    }
                    places.push(place);
                }
                Err(error) if !several => return Err(error),
                Err(error) => outcome.failed(&location, error, &context.reporter(context.settings())?),
            }
        }
        Ok((outcome, places))
    }

    /// Takes notice of what became of one. What ends everything is handed back.
    pub fn add(
        &mut self,
        place: &Place<'_>,
        done: Result<Option<Map<String, Json>>>,
        reporter: &Reporter,
    ) -> Result<()> {
        self.warn(reporter.warnings());
        match done {
            Ok(object) => self.told.extend(object),
            Err(error) if !self.several || reporter.interrupted() || exit_code::is_closed_pipe(&error) => {
                return Err(error);
            }
            Err(error) => self.failed(&place.location, error, reporter),
        }
        Ok(())
    }

    /// Takes notice of more warnings.
    pub fn warn(&mut self, warnings: Warnings) {
        self.warnings = std::mem::take(&mut self.warnings).and(warnings);
    }

    fn failed(&mut self, location: &Location, error: anyhow::Error, reporter: &Reporter) {
        let (code, message) = (exit_code::of_error(&error), report::one_line(&error));
        reporter.log(Level::Error, Some(code), &format!("{location}: {message}"));
        let mut object = Map::new();
        object.insert("repository".to_owned(), json!({ "location": location.to_string() }));
        object.insert("error".to_owned(), json!({ "message": message, "msgid": code.msgid, "rc": code.rc }));
        self.told.push(object);
        self.failure.get_or_insert(error);
    }

    /// Answers programs that asked, and ends with the first failure.
    pub fn end(mut self, args: &Args) -> Result<Warnings> {
        if args.json {
            let root = match self.several {
                true => Map::from_iter([("repositories".to_owned(), json!(self.told))]),
                false => self.told.pop().unwrap_or_default(),
            };
            answer::print(root)?;
        }
        match self.failure {
            Some(first) => Err(first.context("not every repository has the archive")),
            None => Ok(self.warnings),
        }
    }
}

/// Opens the repository; makes it if it is missing and that is wished. A dry run leaves it missing.
fn open(context: &Context, args: &Args) -> Result<Option<Repository>> {
    match context.open() {
        Err(error) if args.init && is_missing(&error) => {
            if args.dry_run {
                return Ok(None);
            }
            super::super::repo_create::make(context, &super::super::repo_create::Choice::default()).map(Some)
        }
        other => other.map(Some),
    }
}

fn is_missing(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Error>().map(Error::kind) == Some(ErrorKind::RepositoryNotFound)
}
