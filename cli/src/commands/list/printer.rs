//! Prints entries, one after the other.

use std::io::Write as _;

use anyhow::Result;
use gabion_core::archive::catalog::Archive;
use gabion_core::archive::walk::WalkItem;
use gabion_core::error::{Error, ErrorKind};
use gabion_core::repository::Reader;
use serde_json::Value as Json;

use super::hashes::Hashes;
use super::item::Item;
use crate::output::format::{Format, Manner};
use crate::output::sink::Sink;
use crate::progress::Reporter;

/// What entries are printed with.
pub struct Printer<'a> {
    reader: &'a Reader,
    reporter: &'a Reporter,
    format: &'a Format,
    hashes: Hashes,
    json: bool,
    manner: Manner,
    out: Sink,
    line: Vec<u8>,
    failed: Option<anyhow::Error>,
}

impl<'a> Printer<'a> {
    /// Prints to standard output, in a format or as JSON lines.
    pub fn new(reader: &'a Reader, reporter: &'a Reporter, format: &'a Format, json: bool, manner: Manner) -> Self {
        let hashes = Hashes::named(format.keys());
        Self { reader, reporter, format, hashes, json, manner, out: Sink::new(), line: Vec::new(), failed: None }
    }

    /// Prints an entry of an archive.
    pub fn print(&mut self, archive: &Archive, item: &WalkItem) -> Result<()> {
        let digests = self.hashes.of(item, self.reader, self.reporter)?;
        let item = Item { archive, item, digests: &digests, reader: self.reader };
        self.line.clear();
        if self.json {
            let object = item.json(self.format.keys(), &self.manner.zone);
            serde_json::to_writer(&mut self.line, &Json::Object(object))?;
            self.line.push(b'\n');
        } else {
            self.format.render(|key| item.value(key, &self.manner.zone), &self.manner, &mut self.line)?;
        }
        self.out.write_all(&self.line)?;
        Ok(())
    }

    /// Prints an entry that a walk has come to. Where that fails, the walk is stopped; [`Printer::walked`] tells why.
    pub fn visit(&mut self, archive: &Archive, item: &WalkItem) -> Result<(), Error> {
        self.print(archive, item).map_err(|error| {
            self.failed = Some(error);
            Error::new(ErrorKind::Io, "write list")
        })
    }

    /// How a walk ended, whose entries were printed.
    pub fn walked(&mut self, walked: Result<(), Error>) -> Result<()> {
        self.failed.take().map_or_else(|| Ok(walked?), Err)
    }

    /// Ends: everything is printed.
    pub fn end(mut self) -> Result<()> {
        Ok(self.out.flush()?)
    }
}
