//! Instance containers: any bytes never panic, and none of the readers gives out more than the bytes carry or disagrees
//! with the others.

#![no_main]

use std::io::{self, Cursor, Write};

use libfuzzer_sys::fuzz_target;
use tancho_imaging::container::{Container, parse_header};
use tancho_imaging::limits::ScanLimits;

/// A few bytes of zstd may stand for very many: what a run is given to expand. Bytes.
const EXPANDED_MAX: u64 = 64 << 20;
const FRAMES_MAX: u32 = 4;

fuzz_target!(|input: &[u8]| {
    let _ = parse_header(input);
    if let Ok(mut part) = Container::open_part(Cursor::new(input)) {
        read(&mut part);
    }
    let Ok(mut container) = Container::open(Cursor::new(input)) else {
        return;
    };
    if container.header().original_len > EXPANDED_MAX {
        return;
    }
    let are_sound = container.verify_sections().is_ok();
    let mut out = Counted::default();
    let is_rebuilt = container.rebuild(&mut out).is_ok();
    if is_rebuilt {
        assert!(are_sound, "what has a wrong section is not given back");
        assert_eq!(out.0, container.header().original_len);
    }
    read(&mut container);
});

fn read(container: &mut Container<Cursor<&[u8]>>) {
    if container.header().original_len > EXPANDED_MAX {
        return;
    }
    if container.header().has_head() {
        let _ = container.head_bytes(EXPANDED_MAX);
        let _ = container.scan_identity(&ScanLimits::default());
    }
    for number in 0..container.frame_count().min(FRAMES_MAX) {
        let _ = container.frame(number);
        let _ = container.codestream(number);
        let _ = container.low_frame(number);
        let _ = container.frame_little_endian(number);
    }
}

#[derive(Default)]
struct Counted(u64);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
