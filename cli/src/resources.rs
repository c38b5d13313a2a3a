//! How much of the machine a command that stores may take.

use std::str::FromStr;

use anyhow::Result;
use gabion_core::chunker::ChunkerParams;
use gabion_core::compress::Compression;
use gabion_core::limits::CHUNK_BYTES_MAX;
use gabion_core::repository::{Memory, WriterOptions};

use crate::context::Context;
use crate::exit_code::Failure;
use crate::output::units;
use crate::progress::Level;

/// Threads and memory.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Resources")]
pub struct Resources {
    /// Threads that compress and encrypt [default: one per core, as far as the memory goes]
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    /// Memory it may take, whatever the input, beside the index (about 32 bytes for each chunk of the repository) and
    /// strong compression (zstd above 12, lzma) [default: 192Mi with up to two threads, 28Mi more for each further one,
    /// 88Mi more for chunks of up to 16Mi]
    #[arg(long, value_name = "SIZE")]
    memory_budget: Option<Budget>,
}

/// An amount of memory.
#[derive(Clone, Copy, Debug)]
struct Budget(usize);

impl FromStr for Budget {
    type Err = Failure;

    fn from_str(text: &str) -> std::result::Result<Self, Failure> {
        let bytes = units::parse(text)?;
        usize::try_from(bytes).map(Self).map_err(|_| Failure::command(format!("`{text}` is more than there can be")))
    }
}

impl Resources {
    /// How to store what is compressed and cut like this, or was cut by others before.
    pub fn writer(
        &self,
        context: &Context,
        compression: Compression,
        chunker: Option<ChunkerParams>,
    ) -> Result<WriterOptions> {
        let writer = WriterOptions { compression, ..WriterOptions::default() };
        let workers = self.workers.unwrap_or(writer.workers).max(1);
        let chunk_bytes = chunker.map_or(CHUNK_BYTES_MAX, |chunker| chunker.max_bytes());
        let budget = self.memory_budget.map_or_else(|| Memory::default_budget(chunk_bytes, workers), |budget| budget.0);
        let memory = Memory::within(budget, chunk_bytes, workers).map_err(|_| too_little(chunk_bytes))?;
        context.speaker().log(Level::Debug, None, &described(&memory));
        Ok(writer.within(&memory))
    }
}

fn too_little(chunk_bytes: usize) -> Failure {
    let least = Memory::least(chunk_bytes).div_ceil(1 << 20);
    Failure::command(format!(
        "--memory-budget is too small: chunks of this length need {least}Mi (see --chunker-params)"
    ))
}

fn described(memory: &Memory) -> String {
    let mib = |bytes: usize| bytes.div_ceil(1 << 20);
    let Memory { chunk_bytes, workers, segments, segment_bytes } = *memory;
    format!(
        "memory: at most {} MiB beside the index ({workers} workers, chunks up to {} MiB, {segments} segments of {} MiB)",
        mib(memory.bytes()),
        mib(chunk_bytes),
        mib(segment_bytes),
    )
}
