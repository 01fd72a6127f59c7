//! Since when a file is dead: log segments and sorted segments alike.
//!
//! A file (a sealed log segment, or a sorted one) without live entries is *dead*. When a checkpoint
//! begins, what is dead is in none of its streams, and in none of any later one: so it is noted by
//! which checkpoint a file was first found dead, and it may go once that one or a later one is the
//! oldest that is kept. Positions in the log would not tell: sorting moves entries while the log
//! stands still.

/// The checkpoint at whose beginning a file was first found dead, if it is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Death(Option<u64>);

impl Death {
    /// Checkpoint `number` begins.
    pub(crate) fn note(&mut self, number: u64, is_dead: bool) {
        self.0 = is_dead.then(|| self.0.unwrap_or(number));
    }

    /// Whether neither checkpoint `oldest` nor a later one knows of the file.
    pub(crate) fn is_before(self, oldest: u64) -> bool {
        self.0.is_some_and(|at| at <= oldest)
    }

    /// Whether the file is dead, and only checkpoints behind `oldest` do not know of it.
    pub(crate) fn is_behind(self, oldest: u64) -> bool {
        self.0.is_some_and(|at| at > oldest)
    }
}
