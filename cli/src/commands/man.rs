//! `gabion man`: the pages of the manual, made of what `--help` and `gabion help` say.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Command, CommandFactory as _};
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, roman};

use super::help::TOPICS;
use crate::args::Cli;
use crate::exit_code::Warnings;
use crate::output::new_file::open_to_all;

/// Write the pages of the manual: man1 has one per command, man7 one per topic
#[derive(Debug, clap::Args)]
#[command(after_help = "What is in the directory already stays, but for the pages of this program.\n\n\
    Example:\n  gabion man --dir /usr/local/share/man")]
pub struct Args {
    /// The directory of the manual, such as /usr/local/share/man; it is made if it is missing
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
}

/// Pages are the same whenever they are made. An empty date would be left out and shift what follows it.
const NO_DATE: &str = " ";

/// A page: the section it belongs to, its name there, its bytes.
type Page = (u8, String, Vec<u8>);

/// Writes all pages.
pub fn run(args: &Args) -> Result<Warnings> {
    for (section, name, content) in pages()? {
        let folder = args.dir.join(format!("man{section}"));
        let path = folder.join(format!("{name}.{section}"));
        let told = || format!("{} can not be written", path.display());
        // what everybody has may be read by everybody, whatever --umask says
        let new: Vec<&Path> =
            folder.ancestors().filter(|above| !above.as_os_str().is_empty() && !above.exists()).collect();
        fs::create_dir_all(&folder).with_context(told)?;
        new.iter().try_for_each(|folder| open_to_all(folder, 0o755)).with_context(told)?;
        fs::write(&path, content).with_context(told)?;
        open_to_all(&path, 0o644).with_context(told)?;
    }
    Ok(Warnings::default())
}

fn pages() -> Result<Vec<Page>> {
    let mut root = Cli::command();
    // options that every command has are known to a command only afterwards
    root.build();
    let mut pages = Vec::new();
    add_commands(&root, None, &mut pages)?;
    for (name, text) in TOPICS {
        pages.push((7, format!("gabion-{name}"), topic(name, &text())?));
    }
    Ok(pages)
}

/// Adds the page of a command and those of the commands inside.
fn add_commands(command: &Command, above: Option<&str>, pages: &mut Vec<Page>) -> Result<()> {
    let name = above.map_or_else(|| command.get_name().to_owned(), |above| format!("{above}-{}", command.get_name()));
    // derived from the arguments it would name every common option
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").to_owned();
    let man = Man::new(command.clone().display_name(&name).override_usage(usage));
    let man = man.title(&name).date(NO_DATE).source(source()).manual("Gabion");
    let mut page = Vec::new();
    man.render(&mut page)?;
    let mut end = Roff::new();
    see_also(&mut end, above);
    page.extend(end.to_roff().into_bytes());
    pages.push((1, name.clone(), page));
    for inside in command.get_subcommands().filter(|inside| !inside.is_hide_set()) {
        add_commands(inside, Some(&name), pages)?;
    }
    Ok(())
}

/// The page of a topic: its text, line by line.
fn topic(name: &str, text: &str) -> Result<Vec<u8>> {
    let page = format!("gabion-{name}");
    let mut roff = Roff::new();
    roff.control("TH", [page.as_str(), "7", NO_DATE, source().as_str(), "Gabion"]);
    // the first sentence stands for the whole in lists of pages
    let (first, _) = text.split_once(['.', ':']).unwrap_or((text, ""));
    let about = first.split_whitespace().collect::<Vec<_>>().join(" ");
    roff.control("SH", ["NAME"]).text([roman(format!("{page} - {about}"))]);
    roff.control("SH", ["DESCRIPTION"]).control("nf", []);
    for line in text.lines() {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
    see_also(&mut roff, Some("gabion"));
    let mut page = Vec::new();
    roff.to_writer(&mut page)?;
    Ok(page)
}

/// Names the page above, and the topics.
fn see_also(roff: &mut Roff, above: Option<&str>) {
    let mut names: Vec<(String, u8)> = above.map(|above| (above.to_owned(), 1)).into_iter().collect();
    names.extend(TOPICS.iter().map(|(name, _)| (format!("gabion-{name}"), 7)));
    let mut line: Vec<Inline> = Vec::new();
    for (name, section) in names {
        let comma = if line.is_empty() { "" } else { ", " };
        line.extend([roman(comma), bold(name), roman(format!("({section})"))]);
    }
    roff.control("SH", ["SEE ALSO"]).text(line);
}

fn source() -> String {
    format!("gabion {}", env!("PROGRAM_VERSION"))
}
