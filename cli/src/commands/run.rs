//! `gabion run`

use std::ffi::OsString;
use std::process::Command;

use anyhow::{Context as _, Result};
use gabion_core::error::{Error, ErrorKind};
use gabion_core::monitor::Monitor as _;

use crate::child::{return_code, wait};
use crate::context::Context;
use crate::exit_code::{Code, Failure, Warnings};
use crate::profile::{FILE, Profile};
use crate::progress::{Level, Reporter};
use crate::routine::{Routine, Step};

/// The end of a step, or of a command around it.
const MSGID: &str = "CommandFailed";

/// Do what a profile says: back up, remove old archives, give room back, check.
///
/// The table [profiles.NAME.run] of the configuration file says what; its steps are done one after the other, as if their
/// commands had been typed with `--repo @NAME`, and options of the profile's commands count. A step that fails ends the
/// run of its profile, and other profiles go on. The return code is that of the first failure, or that of all warnings.
///
/// With `also-to` the same is done in the repositories of other profiles, each by itself: a step that fails ends what is done
/// in its repository.
///
/// Shell commands `before`, `after` and `failed` are run around the steps. They are told GABION_RUN_PROFILE, GABION_RUN_STEP
/// (the last one that was begun) and GABION_RUN_RC (its return code).
#[derive(Debug, clap::Args)]
#[command(after_help = "Example of a configuration:\n  \
    [profiles.laptop]\n  url = \"ssh://backup@nas/./laptop\"\n  passcommand = \"secret-tool lookup gabion laptop\"\n\n  \
    [profiles.laptop.run]\n  paths = [\"~/\"]\n  exclude = [\"*/.cache\"]\n  \
    keep = { daily = 7, weekly = 4, monthly = 12 }\n  also-to = [\"disk\"]\n\nand then:\n  gabion run laptop\n  gabion run laptop --only check")]
pub struct Args {
    /// Change nothing, run no shell commands, and tell what would be done
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Do this step and no other, whatever the profile says; may be repeated
    #[arg(long, value_name = "STEP")]
    only: Vec<Step>,
    /// Names of profiles
    #[arg(value_name = "PROFILE", required = true)]
    profiles: Vec<String>,
}

/// Runs all profiles.
pub fn run(context: &Context, args: &Args) -> Result<Warnings> {
    if context.common.repo.is_some() {
        return Err(Failure::command("the profile says which repository: leave --repo out").into());
    }
    let file = context.directories()?.config.join(FILE);
    let mut runs = Vec::new();
    for name in &args.profiles {
        let name = name.strip_prefix('@').unwrap_or(name);
        let mut profile = Profile::load(&file, name)?;
        let routine = profile.run.take().ok_or_else(|| {
            Failure::command(format!("{}: profile `{name}` has no table [profiles.{name}.run]", file.display()))
        })?;
        // a name that is wrong is told before anything is done
        routine.also_to().try_for_each(|other| Profile::load(&file, other).map(drop))?;
        runs.push((name, profile, routine));
    }
    let reporter = context.reporter(context.settings())?;
    let (mut warnings, mut failure) = (Warnings::default(), None);
    for (name, profile, routine) in &runs {
        let run = Run { context, args, name, profile, routine, reporter: &reporter };
        match run.whole(&mut warnings) {
            Ok(()) => {}
            Err(error) if reporter.interrupted() || runs.len() == 1 => return Err(error),
            Err(error) => {
                reporter.log(Level::Error, None, &format!("{error:#}"));
                failure = failure.or(Some(error));
            }
        }
    }
    match failure {
        Some(first) => Err(first.context("not every profile was run to its end")),
        None => Ok(warnings),
    }
}

/// The run of one profile.
struct Run<'a> {
    context: &'a Context,
    args: &'a Args,
    name: &'a str,
    profile: &'a Profile,
    routine: &'a Routine,
    reporter: &'a Reporter,
}

/// What was begun last, and what it returned.
#[derive(Clone, Copy)]
struct State {
    step: Option<Step>,
    rc: u8,
}

impl Run<'_> {
    fn whole(&self, warnings: &mut Warnings) -> Result<()> {
        let mut state = State { step: None, rc: 0 };
        let done = self.steps(&mut state, warnings);
        if done.is_err() {
            for command in &self.routine.failed {
                // that it failed is told below; what a command for that case returns changes nothing
                let _ = self.shell(command, state, self.reporter.interrupted());
            }
        }
        done
    }

    /// All steps, in its own repository and in others. One that fails ends the steps in its repository alone.
    fn steps(&self, state: &mut State, warnings: &mut Warnings) -> Result<()> {
        self.around("before", &self.routine.before, *state)?;
        let mut done = self.steps_in(self.name, state, warnings);
        for place in self.routine.also_to() {
            if self.reporter.interrupted() {
                break;
            }
            let mut other = State { step: None, rc: 0 };
            match self.steps_in(place, &mut other, warnings) {
                more if done.is_ok() => (*state, done) = (other, more),
                Ok(()) => {}
                // the first failure is told at the end
                Err(error) => self.reporter.log(Level::Error, None, &format!("{error:#}")),
            }
        }
        done?;
        self.stop_if_asked()?;
        self.around("after", &self.routine.after, *state)
    }

    fn steps_in(&self, place: &str, state: &mut State, warnings: &mut Warnings) -> Result<()> {
        let steps = if self.args.only.is_empty() { self.routine.steps() } else { self.args.only.clone() };
        for step in steps {
            self.stop_if_asked()?;
            state.step = Some(step);
            state.rc = self.step(place, step)?;
            match state.rc {
                0 => {}
                1 | 100..=127 => warnings.add(Code { rc: state.rc, msgid: MSGID }),
                rc => return Err(failed(rc, format!("profile {}: {step} failed", self.told(place)))),
            }
        }
        Ok(())
    }

    /// How this profile is told, and another one in whose repository it works.
    fn told(&self, place: &str) -> String {
        if place == self.name { place.to_owned() } else { format!("{} in @{place}", self.name) }
    }

    fn stop_if_asked(&self) -> Result<()> {
        match self.reporter.interrupted() {
            true => Err(Error::new(ErrorKind::Interrupted, "run profile").with("profile", self.name).into()),
            false => Ok(()),
        }
    }

    fn step(&self, place: &str, step: Step) -> Result<u8> {
        let home = self.context.environment.path("HOME").and_then(|home| home.into_os_string().into_string().ok());
        let mut words = vec![OsString::from(step.to_string())];
        if place != self.name {
            // The others' place is told by their own profile; what is typed outweighs both.
            words.extend(self.profile.own_options(&[step.to_string()]).map(OsString::from));
        }
        words.extend(self.context.common.words());
        let mut own = vec![format!("--repo=@{place}")];
        if self.args.dry_run {
            match step {
                Step::Check => {
                    self.tell(&format!("{}: would check", self.told(place)));
                    return Ok(0);
                }
                Step::Create | Step::Prune | Step::Compact => own.push("--dry-run".to_owned()),
            }
        }
        own.extend(self.routine.words(step, home.as_deref()));
        words.extend(own.into_iter().map(OsString::from));
        self.reporter.log(Level::Info, None, &format!("{}: {step}", self.told(place)));
        let program = std::env::current_exe().context("find this program")?;
        let child = Command::new(program).args(words).spawn();
        Ok(return_code(wait(child.context("start this program again")?, self.reporter, false)?))
    }

    fn around(&self, when: &str, commands: &[String], state: State) -> Result<()> {
        for command in commands {
            let rc = self.shell(command, state, false)?;
            if rc != 0 {
                let message = format!("profile {}: a command of `{when}` failed with return code {rc}", self.name);
                return Err(failed(crate::exit_code::COMMAND_ERROR.rc, message));
            }
        }
        Ok(())
    }

    /// Runs a command; `told`: the wish to stop is not about it.
    fn shell(&self, command: &str, state: State, told: bool) -> Result<u8> {
        if self.args.dry_run {
            self.tell(&format!("{}: would run: {command}", self.name));
            return Ok(0);
        }
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).env("GABION_RUN_PROFILE", self.name).env("GABION_RUN_RC", state.rc.to_string());
        shell.env("GABION_RUN_STEP", state.step.map(|step| step.to_string()).unwrap_or_default());
        let child = shell.spawn().context("run the shell")?;
        Ok(return_code(wait(child, self.reporter, told)?))
    }

    fn tell(&self, message: &str) {
        self.reporter.log(Level::Warning, None, message);
    }
}

fn failed(rc: u8, message: String) -> anyhow::Error {
    Failure::new(Code { rc, msgid: MSGID }, message).into()
}
