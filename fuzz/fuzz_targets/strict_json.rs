#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| avouch_fuzz::strict_json(data));
