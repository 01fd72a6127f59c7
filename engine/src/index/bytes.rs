//! The bytes on disk that a stream takes: those of its records in the log, counted by node, and
//! those of its blocks in sorted segments.

use super::{Index, Node};

impl Index {
    /// Live entries of each run and of each node of the log, and the bytes on disk that they take.
    fn sizes(&self) -> impl Iterator<Item = (u64, u64)> {
        let runs = self.runs().map_or(&[][..], |runs| &runs.list[..]).iter();
        let runs = runs.map(|run| (u64::from(run.live), run.bytes()));
        let of_node = |node: &Node| (node.offsets.len() as u64, u64::from(node.bytes));
        runs.chain(self.log_nodes().map(of_node))
    }

    /// Bytes on disk that the entries take.
    pub(crate) fn bytes(&self) -> u64 {
        self.sizes().map(|(_, bytes)| bytes).sum()
    }

    /// How many entries at the head take so many bytes, about, and not the last one.
    pub(crate) fn count_of_bytes(&self, mut bytes: u64) -> u64 {
        let mut count = 0;
        for (live, held) in self.sizes() {
            // What cannot be measured, because of damage, counts as nothing and stays.
            if bytes == 0 {
                break;
            }
            if held > bytes {
                // The product of two numbers of entries and bytes of a file.
                count += live.saturating_mul(bytes).div_ceil(held);
                break;
            }
            (count, bytes) = (count + live, bytes - held);
        }
        count.min(self.length.saturating_sub(1))
    }
}
