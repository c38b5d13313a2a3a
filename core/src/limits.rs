//! Every bound of the format and of the engine, with its unit, in one place.
//!
//! Decoders compare with these *before* they allocate. The relations the engine
//! relies on are checked by the compiler at the end of the file.

/// Bytes of a KiB.
pub const KIB: usize = 1 << 10;
/// Bytes of a MiB.
pub const MIB: usize = 1 << 20;

/// Plaintext bytes of the largest chunk.
pub const CHUNK_BYTES_MAX: usize = 16 * MIB;
/// Chunks of more plaintext bytes than this have a frame of their own.
pub const GROUPED_CHUNK_BYTES_MAX: usize = 128 * KIB;
/// Plaintext bytes at which a group of small chunks is closed.
pub const GROUP_BYTES: usize = 240 * KIB;
/// Plaintext bytes of the largest frame.
pub const FRAME_BYTES_MAX: usize = CHUNK_BYTES_MAX;
/// Stored bytes by which a codec may exceed its plaintext (headers, obfuscation).
pub const FRAME_OVERHEAD_MAX: usize = 8 * MIB + 64 * KIB;

/// Stored bytes at which a data segment is closed.
pub const DATA_SEGMENT_BYTES: usize = 32 * MIB;
/// Stored bytes at which a tree segment is closed.
pub const TREE_SEGMENT_BYTES: usize = 8 * MIB;
/// Stored bytes of the smallest segment a reader accepts.
pub const SEGMENT_BYTES_MIN: usize = 180;
/// Stored bytes of the largest segment a reader accepts.
pub const SEGMENT_BYTES_MAX: usize = 1024 * MIB;
/// Chunks in one segment; a writer closes it at half of this.
pub const SEGMENT_CHUNKS_MAX: usize = MIB;

/// Stored bytes of the largest index fragment.
pub const INDEX_BYTES_MAX: usize = 64 * MIB;
/// Entries of one index fragment; a writer splits above this.
pub const INDEX_ENTRIES_MAX: usize = 2 * MIB;
/// Segments named by one index fragment; a writer splits above this.
pub const INDEX_SEGMENTS_MAX: usize = 64 * KIB;
/// Fragments of one level that make whoever notices merge them.
pub const INDEX_FRAGMENTS_PER_LEVEL: usize = 8;
/// The highest level of an index fragment.
pub const INDEX_LEVEL_MAX: u8 = 9;

/// Plaintext bytes of a stored record, unless said otherwise.
pub const RECORD_BYTES_MAX: usize = 64 * KIB;
/// Chunks of one damage record.
pub const DAMAGED_CHUNKS_MAX: usize = 1000;
/// Segments, and archives, that one damage record names.
pub const DAMAGE_PLACES_MAX: usize = 700;
/// Stored bytes of `config`.
pub const CONFIG_BYTES_MAX: usize = 64 * KIB;
/// Stored bytes of a key slot.
pub const KEY_SLOT_BYTES_MAX: usize = 16 * KIB;
/// Memory cost of a key slot's argon2id, in KiB.
pub const KDF_MEMORY_KIB_MAX: u32 = 4 * 1024 * 1024;
/// Passes of a key slot's argon2id.
pub const KDF_PASSES_MAX: u32 = 1024;
/// Lanes of a key slot's argon2id.
pub const KDF_LANES_MAX: u32 = 64;
/// Iterations of a key slot's PBKDF2.
pub const KDF_ITERATIONS_MAX: u32 = 100_000_000;

/// Bytes of an object name.
pub const OBJECT_NAME_BYTES_MAX: usize = 128;
/// Objects of one list: four million full segments are 128 TiB.
pub const LISTED_OBJECTS_MAX: usize = 4 * MIB;
/// Stored bytes of any object.
pub const OBJECT_BYTES_MAX: usize = SEGMENT_BYTES_MAX;

/// Plaintext bytes of a directory entry.
pub const ENTRY_BYTES_MAX: usize = 8 * KIB;
/// Bytes of a file name.
pub const NAME_BYTES_MAX: usize = 1024;
/// Bytes of the name of an owner or a group.
pub const OWNER_NAME_BYTES_MAX: usize = 512;
/// Bytes of a symbolic link's target.
pub const LINK_TARGET_BYTES_MAX: usize = 4096;
/// Bytes of rules of git that count at one place of the source.
pub const GIT_RULES_BYTES_MAX: usize = MIB;
/// Bytes of attributes kept in the entry; more go to a chunk of their own.
pub const INLINE_ATTRIBUTES_BYTES_MAX: usize = KIB;
/// Bytes of attributes of one file.
pub const ATTRIBUTES_BYTES_MAX: usize = 8 * MIB;
/// Bytes of file content kept in the entry.
pub const INLINE_CONTENT_BYTES_MAX: usize = 512;
/// Items of a content list kept in the entry; more go to a counted tree.
pub const INLINE_CONTENT_ITEMS_MAX: usize = 16;
/// Entries below which a tree node is not cut.
pub const NODE_ENTRIES_MIN: usize = 64;
/// Entries at which a tree node is cut whatever its names.
pub const NODE_ENTRIES_MAX: usize = 512;
/// One name in this many ends a node, on average.
pub const NODE_CUT_ONE_IN: u64 = 128;
/// Levels of nodes of one directory or one content list.
pub const NODE_DEPTH_MAX: usize = 12;
/// Directories above a file: everybody who makes or walks a tree asks
/// [`check_depth`](crate::archive::walk::check_depth).
pub const DIRECTORY_DEPTH_MAX: usize = 4096;

/// Plaintext bytes of an archive record: what holds one (pending, removed) has room left in [`RECORD_BYTES_MAX`].
pub const ARCHIVE_RECORD_BYTES_MAX: usize = RECORD_BYTES_MAX - KIB;
/// Bytes of an archive's name, a tag, a host, a user or the chunker's parameters.
pub const LABEL_BYTES_MAX: usize = 255;
/// Bytes of an archive's comment.
pub const COMMENT_BYTES_MAX: usize = 8 * KIB;
/// Tags of an archive.
pub const TAGS_MAX: usize = 64;
/// Clients whose newest archive an archive record names.
pub const HEADS_MAX: usize = 512;
/// Reserves of a repository.
pub const RESERVES_MAX: usize = 10_000;

/// Bytes of what a client remembers of one repository.
pub const LOCAL_MEMORY_BYTES_MAX: usize = 64 * MIB;

/// Seconds between two checkpoints.
pub const CHECKPOINT_SECONDS: u64 = 60;
/// New plaintext bytes between two checkpoints.
pub const CHECKPOINT_BYTES: u64 = 1024 * MIB as u64;

const _: () = assert!(CHUNK_BYTES_MAX <= FRAME_BYTES_MAX);
const _: () = assert!(SEGMENT_CHUNKS_MAX <= INDEX_ENTRIES_MAX);
const _: () = assert!(GROUPED_CHUNK_BYTES_MAX + GROUP_BYTES <= FRAME_BYTES_MAX);
const _: () = assert!(DATA_SEGMENT_BYTES + FRAME_BYTES_MAX + FRAME_OVERHEAD_MAX <= SEGMENT_BYTES_MAX);
const _: () = assert!(NODE_ENTRIES_MAX * ENTRY_BYTES_MAX + KIB <= CHUNK_BYTES_MAX);
const _: () = assert!(ATTRIBUTES_BYTES_MAX < CHUNK_BYTES_MAX);
const _: () = assert!(
    HEADS_MAX * 41 + TAGS_MAX * (LABEL_BYTES_MAX + 2) + COMMENT_BYTES_MAX + 8 * KIB <= ARCHIVE_RECORD_BYTES_MAX
);
const _: () = assert!(
    NAME_BYTES_MAX + LINK_TARGET_BYTES_MAX + INLINE_ATTRIBUTES_BYTES_MAX + 2 * OWNER_NAME_BYTES_MAX + 256
        < ENTRY_BYTES_MAX
);
const _: () = assert!(
    INLINE_CONTENT_BYTES_MAX + INLINE_ATTRIBUTES_BYTES_MAX + LINK_TARGET_BYTES_MAX + NAME_BYTES_MAX < ENTRY_BYTES_MAX
);
const _: () = assert!(INDEX_ENTRIES_MAX * 30 + INDEX_SEGMENTS_MAX / 8 * 150 <= INDEX_BYTES_MAX);
