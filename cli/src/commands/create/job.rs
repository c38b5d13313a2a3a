//! Makes the archives: one after the other, or side by side from one stream.

use anyhow::{Context as _, Result};
use gabion_core::archive::catalog::Archive;
use gabion_core::chunker::Input as Content;
use gabion_core::clock::SystemClock;
use gabion_core::error::ErrorKind;
use gabion_core::ops::create::{CreateOptions, Created, Input, Stream, create, dry_run};
use serde_json::{Map, Value as Json};

use super::here::Here;
use super::input::{Source, StreamSource};
use super::places::{Outcome, Place};
use super::{Args, answer, tee};
use crate::context::Context;
use crate::progress::{Level, Reporter, Settings};

/// What is the same for every repository.
pub(super) struct Job<'a> {
    pub context: &'a Context,
    pub args: &'a Args,
    pub source: &'a Source,
    pub options: &'a CreateOptions,
    pub settings: Settings,
}

impl Job<'_> {
    /// Tells what would be stored, which is the same everywhere: one look is enough.
    pub fn pretend(&self, places: &[Place<'_>], outcome: &mut Outcome) -> Result<()> {
        let mut pretended = None;
        for place in places {
            let reporter = self.context.reporter(self.settings.clone())?;
            let found = match pretended {
                Some(found) => Ok(found),
                None => self.look(&reporter),
            };
            let done = found.and_then(|found| {
                pretended = Some(found);
                let object = || answer::dry_json(place.context, place.repository.as_ref(), &found, &reporter);
                self.args.json.then(object).transpose()
            });
            outcome.add(place, done, &reporter)?;
        }
        Ok(())
    }

    fn look(&self, reporter: &Reporter) -> Result<gabion_core::archive::record::Statistics> {
        let Self { source, options, .. } = self;
        let here = Here::new(source, reporter);
        let statistics = dry_run(&source.plan, &options.rules, &options.matcher, &here)?;
        reporter.finish();
        if self.args.stats {
            answer::dry_stats(self.context, &statistics, reporter);
        }
        Ok(statistics)
    }

    /// Makes one after the other. There is a stream for the first of them only.
    pub fn in_turn(&self, places: &[Place<'_>], outcome: &mut Outcome) -> Result<()> {
        for place in places {
            let reporter = self.context.reporter(self.settings.clone())?;
            let mut failure = None;
            let content = self.source.stream.as_ref().map(|stream| stream.open(&mut failure)).transpose();
            let made = content.and_then(|content| self.make(place, content, &reporter));
            let made = failure.map_or(made, |failure| Err(failure.into()));
            let done = made.and_then(|created| self.answer(place, created, &reporter));
            outcome.add(place, done, &reporter)?;
        }
        Ok(())
    }

    /// Makes all at the same time: the stream can be read only once.
    pub fn side_by_side(&self, stream: &StreamSource, places: &[Place<'_>], outcome: &mut Outcome) -> Result<()> {
        let told = |number| Settings { progress: self.settings.progress && number == 0, ..self.settings.clone() };
        // of several bars none could be read
        let reporters = (0..places.len()).map(|number| self.context.reporter(told(number)));
        let reporters = reporters.collect::<Result<Vec<_>>>()?;
        let mut failure = None;
        let mut content = stream.open(&mut failure)?;
        let (fed, made) = std::thread::scope(|scope| {
            let (feeds, branches): (Vec<_>, Vec<_>) = places.iter().map(|_| tee::branch()).unzip();
            let runs = places.iter().zip(&reporters).zip(branches).map(|((place, reporter), branch)| {
                scope.spawn(move || self.make(place, Some(Box::new(branch)), reporter))
            });
            let runs: Vec<_> = runs.collect();
            let fed = tee::feed(&mut *content, feeds);
            let made = runs.into_iter().map(|run| run.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            (fed, made.collect::<Vec<_>>())
        });
        drop(content);
        // It is whole nowhere.
        if let Some(failure) = failure {
            return Err(failure.into());
        }
        fed?;
        for ((place, reporter), made) in places.iter().zip(&reporters).zip(made) {
            let done = made.and_then(|created| self.answer(place, created, reporter));
            outcome.add(place, done, reporter)?;
        }
        Ok(())
    }

    fn make(&self, place: &Place<'_>, content: Option<Box<dyn Content + '_>>, reporter: &Reporter) -> Result<Created> {
        let Self { source, options, .. } = self;
        let repository = place.repository.as_ref().context("open repository")?;
        let location = repository.object_store().location();
        reporter.log(Level::Info, None, &format!("Making archive `{}` in {location}", options.name));
        let input = match (content, &source.stream) {
            (Some(input), Some(stream)) => {
                Input::Stream(&source.plan, Stream { metadata: stream.metadata.clone(), input })
            }
            _ => Input::Files(&source.plan),
        };
        let created = create(repository, input, options, &SystemClock, &Here::new(source, reporter));
        reporter.finish();
        Ok(created.inspect_err(|error| {
            if error.kind() == ErrorKind::Interrupted {
                let message = "A checkpoint is kept; the next `gabion create` of this name goes on there.";
                reporter.log(Level::Info, None, message);
            }
        })?)
    }

    /// Tells of an archive that was made.
    fn answer(&self, place: &Place<'_>, created: Created, reporter: &Reporter) -> Result<Option<Map<String, Json>>> {
        let repository = place.repository.as_ref().context("open repository")?;
        let archive = Archive { id: created.id, record: created.record };
        if self.args.stats {
            answer::stats(place.context, repository, &archive, reporter);
        }
        let object = || answer::json(place.context, repository, &archive, created.holdings, reporter);
        self.args.json.then(object).transpose()
    }
}
