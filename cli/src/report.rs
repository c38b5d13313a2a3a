//! The last words: errors with their hints, the return code.

use std::error::Error as StdError;
use std::fmt;
use std::io::{self, Write as _};

use clap::error::{ContextKind, ContextValue, ErrorKind as Usage};
use gabion_core::clock::{Clock as _, SystemClock};
use gabion_core::error::{Error, ErrorKind};

use crate::args::Common;
use crate::context::Context;
use crate::exit_code::{self, Code, Scale, Warnings};
use crate::hints;
use crate::metrics::{self, Figures};
use crate::output::sink::Sink;
use crate::progress::{Form, Level, Reporter, Settings};
use crate::signals::Signals;

/// An error with advice that only the command could know.
#[derive(Debug)]
pub struct Advised {
    error: Error,
    hint: String,
}

impl Advised {
    /// Adds advice to an error.
    pub fn new(error: Error, hint: String) -> Self {
        Self { error, hint }
    }
}

impl fmt::Display for Advised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl StdError for Advised {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.error)
    }
}

/// Tells what is wrong with the command line, or the help that was asked for.
pub fn usage(mut error: clap::Error) -> u8 {
    let verb = match (error.kind(), error.get(ContextKind::InvalidSubcommand)) {
        (Usage::InvalidSubcommand, Some(ContextValue::String(word))) => hints::for_verb(word),
        _ => None,
    };
    let is_word_too_many = matches!((error.kind(), error.get(ContextKind::InvalidArg)),
        (Usage::UnknownArgument, Some(ContextValue::String(word))) if !word.starts_with('-'));
    if verb.is_some() {
        // the word is known: what is merely spelled alike does not help
        error.remove(ContextKind::SuggestedSubcommand);
    }
    // Nobody may be reading any more.
    let _ = error.print();
    if is_word_too_many {
        eprintln!("\nHint: a repository is named by --repo or GABION_REPO.");
    }
    if let Some(verb) = verb {
        eprintln!("\nHint: the command for that is `gabion {verb}`.");
    }
    u8::try_from(error.exit_code()).unwrap_or(exit_code::ERROR.rc)
}

/// Gives an answer that needs no command.
pub fn answer(text: &str) -> u8 {
    let mut out = Sink::new();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => exit_code::ERROR.rc,
        _ => 0,
    }
}

/// Tells what was asked for and has no effect.
pub fn notes(common: &Common, notes: &[String]) {
    if !notes.is_empty() {
        let speaker = speaker(common);
        notes.iter().for_each(|note| speaker.log(Level::Warning, None, note));
    }
}

/// Tells the version of the program.
pub fn version(common: &Common) {
    speaker(common).say(&format!("gabion {}", env!("PROGRAM_VERSION")));
}

/// Tells how the command ended, and returns the code for it.
pub fn end(common: &Common, scale: Scale, signal: Option<u8>, done: &anyhow::Result<Warnings>) -> u8 {
    let none = Warnings::default();
    let (warnings, error) = match done {
        Ok(warnings) => (warnings, None),
        Err(error) if exit_code::is_closed_pipe(error) => (&none, None),
        Err(error) => (&none, Some(error)),
    };
    // What was complete when the signal came is complete.
    let signal = signal.filter(|_| error.is_some());
    let code = error.map(exit_code::of_error);
    let speaker = speaker(common);
    if let (Some(error), Some(code)) = (error, code) {
        tell(&speaker, common, error, code, signal);
    }
    let rc = scale.apply(exit_code::exit_code(signal, code, warnings));
    if common.show_rc {
        speaker.say(&format!("terminating with {} status, rc {rc}", status(rc)));
    }
    rc
}

/// Writes the figures of the command to the file that was asked for. That it fails is told, and changes no code.
pub fn record(context: &Context, command: &str, rc: u8) {
    let Some(path) = &context.common.metrics_file else { return };
    let repository = context.location().ok().map(|location| location.to_string());
    let figures = Figures {
        command,
        repository: repository.as_deref(),
        end: SystemClock.now().seconds,
        duration: context.started.elapsed().as_secs_f64(),
        rc,
        succeeded: matches!(status(rc), "success" | "warning"),
        counted: context.counted(),
    };
    if let Err(error) = metrics::record(path, &figures) {
        let message = format!("figures can not be written to {}: {error}", path.display());
        speaker(&context.common).log(Level::Warning, None, &message);
    }
}

fn speaker(common: &Common) -> Reporter {
    // No bar: a line is never wiped out.
    let form = if common.log_json { Form::Json } else { Form::Plain };
    Reporter::new(Settings { form, level: common.level(), ..Settings::default() }, Signals::default())
}

fn tell(speaker: &Reporter, common: &Common, error: &anyhow::Error, code: Code, signal: Option<u8>) {
    let message = match signal {
        Some(number) if is_interruption(error) => format!("stopped by signal {number}"),
        // a command that was asked to stop may fail in any way: say how
        _ => one_line(error),
    };
    let prefix = if common.log_json { "" } else { "Error: " };
    speaker.log(Level::Error, Some(code), &format!("{prefix}{message}"));
    if common.debug {
        speaker.log(Level::Debug, None, &full(error));
    }
    let hint = if signal.is_some() { None } else { hint(error) };
    if let Some(hint) = hint
        && common.level() <= Level::Error
    {
        speaker.say(&format!("Hint: {hint}"));
    }
}

/// The error and its causes. An error of the engine tells its own causes.
pub fn one_line(error: &anyhow::Error) -> String {
    let mut parts = Vec::new();
    for cause in error.chain() {
        if cause.is::<Advised>() {
            continue;
        }
        parts.push(cause.to_string());
        if cause.is::<Error>() {
            break;
        }
    }
    parts.join(": ").replace('\n', " ")
}

/// Everything there is to say: all causes, and all facts of the engine's error.
fn full(error: &anyhow::Error) -> String {
    match engine_error(error) {
        Some(engine) => format!("{error:?}\n\n{engine:#?}"),
        None => format!("{error:?}"),
    }
}

fn hint(error: &anyhow::Error) -> Option<String> {
    let own = error.chain().find_map(|cause| cause.downcast_ref::<Advised>());
    if let Some(advised) = own {
        return Some(advised.hint.clone());
    }
    hints::for_error(engine_error(error)?).map(str::to_owned)
}

fn engine_error(error: &anyhow::Error) -> Option<&Error> {
    error.chain().find_map(|cause| cause.downcast_ref())
}

fn is_interruption(error: &anyhow::Error) -> bool {
    engine_error(error).is_some_and(|error| error.kind() == ErrorKind::Interrupted)
}

fn status(rc: u8) -> &'static str {
    match rc {
        0 => "success",
        1 | 100..=127 => "warning",
        2..=99 => "error",
        _ => "signal",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_one_line_that_says_everything_once() {
        let engine = Error::new(ErrorKind::ArchiveNotFound, "find archive").with("archive", "x\ny");
        let line = engine.to_string().replace('\n', " ");
        let plain = anyhow::Error::new(engine).context("while listing");
        assert_eq!(one_line(&plain), format!("while listing: {line}"));
        let engine = Error::new(ErrorKind::ArchiveNotFound, "find archive").with("archive", "x\ny");
        let advised = anyhow::Error::new(Advised::new(engine, "did you mean `z`?".to_owned()));
        assert_eq!((one_line(&advised), hint(&advised).as_deref()), (line, Some("did you mean `z`?")));
        assert_eq!(exit_code::of_error(&advised).rc, 31);
        let caused = Error::from_io("get object", io::Error::other("broken"));
        assert_eq!(one_line(&caused.into()), "get object: input/output error: broken");
    }

    #[test]
    fn codes_have_a_status() {
        assert_eq!([0, 1, 2, 99, 100, 130].map(status), ["success", "warning", "error", "error", "warning", "signal"]);
    }
}
