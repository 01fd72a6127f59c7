//! What a fuzzer begins with: bytes that the product itself writes, and the golden transcripts.

use std::fs;
use std::path::Path;

/// Writes the seeds of a target to the folder that `ALLUVIUM_SEEDS` names, if it is set.
///
/// # Panics
///
/// If they cannot be written.
pub fn plant(target: &str) {
    let Some(folder) = std::env::var_os("ALLUVIUM_SEEDS") else {
        return;
    };
    let seeds = match target {
        "resp" => transcripts(),
        "restore" => payloads(),
        _ => {
            let seeds = alluvium_engine::fuzzing::seeds().into_iter();
            seeds
                .filter(|(name, _)| *name == target)
                .map(|(_, seed)| seed)
                .collect()
        }
    };
    assert!(!seeds.is_empty(), "{target} has seeds");
    for (number, seed) in seeds.into_iter().enumerate() {
        let path = Path::new(&folder).join(format!("seed-{number}"));
        fs::write(path, seed).expect("the folder of seeds can be written");
    }
}

/// Payloads of real servers, and of older and newer ones by hand, without their checksums.
fn payloads() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../server/src/rdb/fixtures");
    let files = fs::read_dir(folder).expect("the payloads are there");
    let payload = |file: std::io::Result<fs::DirEntry>| {
        let path = file.expect("a readable folder").path();
        let hex = fs::read_to_string(path).expect("a readable payload");
        let digits: Vec<char> = hex.chars().filter(char::is_ascii_hexdigit).collect();
        let digit = |digit: char| u8::try_from(digit.to_digit(16)?).ok();
        let byte = |two: &[char]| Some(digit(two[0])? << 4 | digit(two[1])?);
        let mut payload: Vec<u8> = digits.chunks_exact(2).filter_map(byte).collect();
        payload.truncate(payload.len() - size_of::<u64>());
        payload
    };
    files.map(payload).collect()
}

/// The requests of the golden transcripts: inline, and as arrays.
fn transcripts() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden");
    let files = fs::read_dir(folder).expect("the transcripts are there");
    let mut seeds = Vec::new();
    for file in files {
        let path = file.expect("a readable folder").path();
        if path.extension().is_none_or(|ending| ending != "txt") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a readable transcript");
        let is_request = |line: &&str| !line.starts_with(['#', '=', ' ']) && !line.is_empty();
        let (mut inline, mut arrays) = (vec![1, 200], vec![1, 7]);
        for line in text.lines().filter(is_request) {
            inline.extend_from_slice(format!("{line}\r\n").as_bytes());
            let words: Vec<_> = line.split_ascii_whitespace().collect();
            arrays.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
            for word in words {
                arrays.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
            }
        }
        seeds.extend([inline, arrays]);
    }
    seeds
}
