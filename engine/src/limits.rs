//! Named limits: every number that comes from disk or from a caller is compared with one of these
//! before it is believed.

/// Longest key, in bytes.
pub const KEY_LEN_MAX: usize = 64 << 10;
/// Longest group or consumer name, in bytes.
pub const NAME_LEN_MAX: usize = 64 << 10;
/// Largest entry: the sum of its fields and values, in bytes.
pub const ENTRY_LEN_MAX: usize = 512 << 20;
/// Most entry IDs in one record; longer lists are split into several records of one transaction.
pub const RECORD_IDS_MAX: usize = 16 << 10;
/// Keys whose streams are brought into the processor's caches at the same time.
pub const KEYS_AT_ONCE: usize = 32;
/// Number of databases.
pub const DATABASES: u8 = 16;
/// Most entries that a logical node of a stream may hold; see `Options::node_entries_max`.
pub const NODE_ENTRIES_MAX: u32 = 1 << 16;
/// Size of a log segment unless the options say otherwise, in bytes.
pub const SEGMENT_SIZE_DEFAULT: u64 = 64 << 20;
/// Smallest size of a log segment, in bytes.
pub const SEGMENT_SIZE_MIN: u64 = 8 << 10;
/// Largest size of a log segment, in bytes; one that holds an oversized frame may reach it.
pub const SEGMENT_SIZE_MAX: u64 = 4 << 30;
/// Largest payload of one frame, in bytes.
pub const FRAME_PAYLOAD_MAX: usize = 1 << 30;
/// Most memory that the decoding of one section of a checkpoint may take, in bytes.
pub const SECTION_MEMORY_MAX: usize = 4 << 30;
/// Longest name of a producer, and longest ID that one gives to a message, in bytes.
pub const IID_LEN_MAX: usize = 64 << 10;
/// For how many seconds it is remembered what producers sent, unless told otherwise.
pub const IID_SECONDS_DEFAULT: u32 = 100;
/// The longest time for which that is remembered, in seconds.
pub const IID_SECONDS_MAX: u32 = 86_400;
/// How many messages are remembered of each producer, unless told otherwise.
pub const IIDS_MAX_DEFAULT: u32 = 100;
/// The most messages that are remembered of a producer.
pub const IIDS_MAX: u32 = 10_000;
