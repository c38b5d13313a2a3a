//! Prints entries, one after the other.

use std::io::Write as _;

use anyhow::Result;
use gabion_core::archive::catalog::Archive;
use gabion_core::archive::walk::WalkItem;
use gabion_core::repository::Reader;
use serde_json::Value as Json;

use super::hashes::Hashes;
use super::item::Item;
use crate::output::format::{Format, Manner};
use crate::output::sink::Sink;
use crate::progress::Reporter;

/// What entries are printed with.
pub struct Printer<'a> {
    pub reader: &'a Reader,
    pub reporter: &'a Reporter,
    pub format: &'a Format,
    pub hashes: &'a Hashes,
    pub json: bool,
    pub manner: Manner,
    pub out: Sink,
    pub line: Vec<u8>,
}

impl Printer<'_> {
    /// Prints an entry of an archive.
    pub fn print(&mut self, archive: &Archive, item: &WalkItem) -> Result<()> {
        let digests = self.hashes.of(item, self.reader, self.reporter);
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
}
