//! The program `gabion`: reads the command line, runs one command, and turns
//! what happened into an exit code.

mod account;
mod archives;
mod args;
mod child;
mod commands;
mod compat;
mod context;
mod date;
mod directories;
mod environment;
mod exit_code;
mod hints;
mod invocation;
mod key_file;
mod metrics;
mod never;
mod output;
mod passphrase;
mod patterns;
mod placeholders;
mod process;
mod profile;
mod progress;
mod question;
mod report;
mod requests;
mod resources;
mod retention;
mod routine;
mod select;
mod signals;
mod timespan;
mod words;

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;

use account::Account;
use args::{Command, Common};
use compat::{Started, Translated};
use context::{Context, Surroundings};
use environment::Environment;
use exit_code::{Scale, Warnings};
use invocation::{Invocation, Refusal};

fn main() -> ExitCode {
    ExitCode::from(start())
}

fn start() -> u8 {
    #[cfg(unix)]
    signals::await_report();
    let Started { words, variables, borg } = match compat::translate(Started::of_process()) {
        Ok(Translated::Run(started)) => started,
        Ok(Translated::Answer(text)) => return report::answer(&text),
        Err(failure) => {
            return report::end(&Common::of_words(), compat::scale_of_process(), None, &Err(failure.into()));
        }
    };
    let mut environment = Environment::new(variables);
    environment.find_home(|| Account::of_process()?.home);
    let Invocation { cli, command, repository } = match invocation::read(words, &mut environment, borg.is_some()) {
        Ok(invocation) => invocation,
        Err(Refusal::Usage(error)) => return report::usage(error),
        Err(Refusal::Failure(failure)) => {
            let scale = environment.exit_codes().unwrap_or_default();
            return report::end(&Common::of_words(), scale, None, &Err(failure.into()));
        }
    };
    process::prepare(cli.common.umask);
    let surroundings = Surroundings { environment, repository, borg };
    // A panic would end with 101, which drivers take for a warning. The hook has told of it already.
    let ended = std::panic::catch_unwind(AssertUnwindSafe(|| run(&cli.common, surroundings, &command, cli.command)));
    ended.unwrap_or(exit_code::ERROR.rc)
}

fn run(common: &Common, surroundings: Surroundings, name: &str, command: Command) -> u8 {
    if common.show_version {
        report::version(common);
    }
    if let Some(borg) = &surroundings.borg {
        report::notes(common, &borg.notes);
    }
    let scale = match surroundings.environment.exit_codes() {
        Ok(scale) => scale,
        Err(failure) => return report::end(common, Scale::default(), None, &Err(failure.into())),
    };
    match Context::new(common.clone(), surroundings) {
        Ok(context) => {
            let done = dispatch(&context, command);
            let health = context.tell_health();
            let done = done.map(|warnings| warnings.and(health));
            context.tell_requests();
            let rc = report::end(common, scale, context.signal(), &done);
            report::record(&context, name, rc);
            rc
        }
        Err(failure) => report::end(common, scale, None, &Err(failure.into())),
    }
}

fn dispatch(context: &Context, command: Command) -> anyhow::Result<Warnings> {
    match command {
        Command::RepoCreate(args) => commands::repo_create::run(context, &args),
        Command::RepoList(args) => commands::repo_list::run(context, &args),
        Command::Create(args) => commands::create::run(context, &args),
        Command::Extract(args) => commands::extract::run(context, &args),
        Command::List(args) => commands::list::run(context, &args),
        Command::Delete(args) => commands::delete::run(context, &args),
        Command::Undelete(args) => commands::undelete::run(context, &args),
        Command::Prune(args) => commands::prune::run(context, &args),
        Command::Rename(args) => commands::rename::run(context, &args),
        Command::Tag(args) => commands::tag::run(context, &args),
        Command::Import(args) => commands::import::run(context, &args),
        Command::Check(args) => commands::check::run(context, &args),
        Command::Compact(args) => commands::compact::run(context, &args),
        Command::Scrub(args) => commands::scrub::run(context, &args),
        Command::Recreate(args) => commands::recreate::run(context, &args),
        Command::Transfer(args) => commands::transfer::run(context, &args),
        Command::Analyze(args) => commands::analyze::run(context, &args),
        Command::Find(args) => commands::find::run(context, &args),
        Command::Diff(args) => commands::diff::run(context, &args),
        Command::ExportTar(args) => commands::export_tar::run(context, &args),
        Command::ImportTar(args) => commands::import_tar::run(context, &args),
        #[cfg(all(feature = "mount", target_os = "linux"))]
        Command::Mount(args) => commands::mount::run(context, &args),
        #[cfg(all(feature = "mount", target_os = "linux"))]
        Command::Umount(args) => commands::umount::run(context, &args),
        Command::Info(args) => commands::info::run(context, &args),
        Command::RepoInfo(args) => commands::repo_info::run(context, &args),
        Command::RepoSpace(args) => commands::repo_space::run(context, &args),
        Command::RepoCompress(args) => commands::repo_compress::run(context, &args),
        Command::RepoDelete(args) => commands::repo_delete::run(context, &args),
        Command::Run(args) => commands::run::run(context, &args),
        Command::WithLock(args) => commands::with_lock::run(context, &args),
        Command::BreakLock(args) => commands::with_lock::break_lock(context, &args),
        Command::Key(args) => commands::key::run(context, &args),
        Command::Serve(args) => commands::serve::run(context, &args),
        Command::Benchmark(args) => commands::benchmark::run(context, &args),
        Command::Cache(args) => commands::cache::run(context, &args),
        Command::Completion(args) => commands::completion::run(&args),
        Command::Man(args) => commands::man::run(&args),
        Command::Version(args) => commands::version::run(&args),
        Command::Debug(args) => commands::debug::run(context, &args),
        Command::Help(args) => commands::help::run(&args),
    }
}
