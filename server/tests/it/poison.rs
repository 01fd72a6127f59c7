//! A disk that fails: nobody gets an acknowledgement, nobody waits for ever, the broker ends.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use alluvium::{Config, RunError};
use alluvium_engine::storage::{
    Access, DirEntry, Map, RealStorage, Storage, StorageFile, SystemClock,
};
use alluvium_engine::{Engine, Options};

use crate::client::Client;

/// The real file system until it is broken; then no file can be synced.
struct Fragile(Arc<AtomicBool>);

struct FragileFile {
    file: Arc<dyn StorageFile>,
    is_broken: Arc<AtomicBool>,
}

impl Storage for Fragile {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        RealStorage.create_dir(dir)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        RealStorage.remove_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        RealStorage.list(dir)
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn StorageFile>> {
        let file = RealStorage.open(path, access)?;
        Ok(Arc::new(FragileFile {
            file,
            is_broken: self.0.clone(),
        }))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        RealStorage.lock(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealStorage.rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealStorage.link(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        RealStorage.unlink(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        RealStorage.sync_dir(dir)
    }

    fn random(&self) -> u64 {
        RealStorage.random()
    }
}

impl StorageFile for FragileFile {
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_at(offset, bytes)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(offset, buffer)
    }

    fn sync(&self) -> io::Result<()> {
        if self.is_broken.load(Ordering::Relaxed) {
            return Err(io::Error::other("broken by the test"));
        }
        self.file.sync()
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        self.file.allocate(offset, len)
    }

    fn zero(&self, offset: u64, len: u64) -> io::Result<()> {
        self.file.zero(offset, len)
    }

    fn drop_cache(&self, offset: u64, len: u64) -> io::Result<()> {
        self.file.drop_cache(offset, len)
    }

    fn map(&self, len: u64) -> io::Result<Map> {
        self.file.map(len)
    }
}

/// Durability: F1.
#[test]
fn a_failed_sync_is_an_error_for_those_who_wait_and_ends_the_broker() {
    let dir = tempfile::tempdir().unwrap();
    let is_broken = Arc::new(AtomicBool::new(false));
    let storage = Arc::new(Fragile(is_broken.clone()));
    let engine = Engine::open_on(
        storage,
        Arc::new(SystemClock::default()),
        dir.path(),
        Options::default(),
    )
    .unwrap();
    let config = Config::default();
    let runtime = alluvium::runtime(&config).unwrap();
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
        .unwrap();
    let address = listener.local_addr().unwrap();
    let broker = std::thread::spawn(move || {
        runtime.block_on(alluvium::run(
            vec![listener],
            engine,
            config,
            std::future::pending(),
        ))
    });
    let mut client = Client::connect_to(address);
    client.ask("XADD s 1-1 a b", "$3|1-1|");
    let mut waiter = Client::connect_to(address);
    waiter.say("XREAD BLOCK 0 STREAMS s $");
    std::thread::sleep(Duration::from_millis(50));
    is_broken.store(true, Ordering::Relaxed);
    client.say("XADD s 1-2 a b");
    assert!(client.line().starts_with("-POISONED "));
    client.expect_end();
    let result = broker.join().unwrap();
    let Err(RunError::Poisoned(cause)) = result else {
        panic!("expected a poisoned log, found {result:?}");
    };
    // The call, the file, the reason.
    assert!(
        cause.starts_with("sync ") && cause.contains(".seg: "),
        "{cause}"
    );
}
