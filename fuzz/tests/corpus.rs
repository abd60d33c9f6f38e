//! The kept inputs of every fuzz target, replayed; and each of them cut short, so that a corpus of few tests many.

use std::path::Path;

#[test]
fn kept_inputs_hold_their_properties() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, target) in avouch_fuzz::TARGETS {
        let mut seen = 0;
        for entry in std::fs::read_dir(corpus.join(name)).expect(name) {
            let input = std::fs::read(entry.expect("an entry").path()).expect("a file");
            target(&input);
            for end in 0..input.len().min(256) {
                target(&input[..end]);
            }
            seen += 1;
        }
        assert!(seen > 0, "no inputs for {name}");
    }
}
