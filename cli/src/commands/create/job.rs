//! Makes the archives, side by side if there are several: what is new to them is read once.

use anyhow::{Context as _, Result};
use gabion_core::archive::catalog::Archive;
use gabion_core::clock::SystemClock;
use gabion_core::error::ErrorKind;
use gabion_core::ops::create::{CreateOptions, Created, InTurns, Input, Member, Stream, create, dry_run, together};
use serde_json::{Map, Value as Json};

use super::here::Here;
use super::input::{Content, Source};
use super::places::{Outcome, Place};
use super::{Args, answer};
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

    /// Makes all at the same time.
    pub fn make_all(&self, places: &[Place<'_>], outcome: &mut Outcome) -> Result<()> {
        // of several bars or lists none could be read
        let told = |first| Settings {
            progress: self.settings.progress && first,
            list: self.settings.list && first,
            ..self.settings.clone()
        };
        let reporters = (0..places.len()).map(|number| self.context.reporter(told(number == 0)));
        let reporters = reporters.collect::<Result<Vec<_>>>()?;
        let mut failure = None;
        let content =
            self.source.stream.as_ref().map(|stream| stream.open(&mut failure)).transpose()?.map(InTurns::new);
        let members =
            if places.len() > 1 { together(places.len()).into_iter().map(Some).collect() } else { vec![None] };
        let make = |((place, reporter), member)| self.make(place, content.as_ref(), member, reporter);
        let made = std::thread::scope(|scope| {
            let runs = places.iter().zip(&reporters).zip(members).map(|run| scope.spawn(move || make(run)));
            let runs: Vec<_> = runs.collect();
            let made = runs.into_iter().map(|run| run.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            made.collect::<Vec<_>>()
        });
        drop(content);
        // It is whole nowhere.
        if let Some(failure) = failure {
            return Err(failure.into());
        }
        for ((place, reporter), made) in places.iter().zip(&reporters).zip(made) {
            let done = made.and_then(|created| self.answer(place, created, reporter));
            outcome.add(place, done, reporter)?;
        }
        Ok(())
    }

    fn make(
        &self,
        place: &Place<'_>,
        content: Option<&InTurns<Content<'_>>>,
        member: Option<Member>,
        reporter: &Reporter,
    ) -> Result<Created> {
        let Self { source, options, .. } = self;
        let repository = place.repository.as_ref().context("open repository")?;
        let location = repository.object_store().location();
        reporter.log(Level::Info, None, &format!("Making archive `{}` in {location}", options.name));
        let stream = content
            .zip(source.stream.as_ref())
            .map(|(content, stream)| Stream { metadata: stream.metadata.clone(), input: Box::new(content) });
        let input = match (stream, member) {
            (stream, Some(member)) => Input::Shared(&source.plan, stream, member),
            (Some(stream), None) => Input::Stream(&source.plan, stream),
            (None, None) => Input::Files(&source.plan),
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
