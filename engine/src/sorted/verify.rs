//! Reading all of a sorted segment: every row, every block, and whether they agree.

use super::SortedFile;
use crate::format::sorted::RunRow;
use crate::{Error, Result};

impl SortedFile {
    /// Verifies every byte that means something; `damage` is told of what is wrong, run by run.
    pub(crate) fn verify(&self, damage: &mut dyn FnMut(Error)) {
        let mut entries = 0;
        for slot in 0..self.footer().runs {
            match self.run(slot).and_then(|run| self.verify_run(&run)) {
                Ok(count) => entries += u64::from(count),
                Err(error) => damage(error),
            }
        }
        let is_whole = entries == self.footer().entries;
        if !is_whole {
            damage(self.corrupt(
                self.footer().tables_at,
                "the runs of a sorted segment hold fewer entries than its footer says",
            ));
        }
    }

    /// How many entries a run holds, all of which are sound and in order.
    fn verify_run(&self, run: &RunRow) -> Result<u32> {
        let wrong = |what| self.corrupt(self.footer().tables_at, what);
        let (mut ordinal, mut first, mut last) = (0, None, None);
        for number in run.first_block..run.first_block + run.blocks {
            let block = self.load(number)?;
            first = first.or(block.id(0));
            while let Some(id) = block.id(ordinal) {
                if last.is_some_and(|last| id <= last) {
                    return Err(wrong("the entries of a sorted segment are not in order"));
                }
                last = Some(id);
                ordinal += 1;
            }
        }
        if ordinal != run.entries || (first, last) != (Some(run.first_id), Some(run.last_id)) {
            return Err(wrong(
                "a run of a sorted segment is not what its table says",
            ));
        }
        let mut next = 0;
        for index in 0..run.nodes {
            let node = self.node(run, index)?;
            let is_first = index == 0;
            if node.ordinal >= run.entries || node.ordinal < next || is_first != (node.ordinal == 0)
            {
                return Err(wrong("the nodes of a sorted segment are not in order"));
            }
            next = node.ordinal + 1;
        }
        Ok(run.entries)
    }
}
