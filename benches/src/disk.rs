//! What a data directory takes on the disk, and how to make the kernel forget its files.

use std::fs::{self, File};
use std::path::Path;

use rustix::fs::Advice;

/// Calls `each` with every file below a directory; files that vanish meanwhile are passed over.
fn files(dir: &Path, each: &mut impl FnMut(&Path, &fs::Metadata)) {
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        match entry.metadata() {
            Ok(about) if about.is_dir() => files(&path, each),
            Ok(about) => each(&path, &about),
            Err(_) => {}
        }
    }
}

/// Bytes that the files below a directory take, as the kernel allocated them.
pub(crate) fn used(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    files(dir, &mut |_, about| bytes += about.blocks() * 512);
    bytes
}

/// Writes the files below a directory to the disk and drops them from the page cache. Nobody may
/// have them mapped.
pub(crate) fn drop_cache(dir: &Path) -> Result<(), String> {
    let mut failed = None;
    files(dir, &mut |path, _| {
        let dropped = File::open(path).and_then(|file| {
            rustix::fs::fsync(&file)?;
            rustix::fs::fadvise(&file, 0, None, Advice::DontNeed)?;
            Ok(())
        });
        if let Err(e) = dropped {
            failed = Some(format!("{}: {e}", path.display()));
        }
    });
    failed.map_or(Ok(()), Err)
}
