//! What the duration of an answer tells. By construction: secrets are found by the index of their hash, or compared in
//! constant time. By measurement, on demand and never in the test command:
//! `cargo test -p avouch-server --release --test it -- --ignored timing --nocapture`.

use std::path::{Path, PathBuf};
use std::time::Instant;

use avouch_testkit::TestApp;

use crate::world::World;

fn sources(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

/// An exposed secret beside a comparison that stops at the first difference.
fn early(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    let secret = ["expose()", "digest", "sealed", "signature"].iter().any(|word| code.contains(word));
    let compares = [" == ", " != ", ".eq(", ".ne(", ".cmp("].iter().any(|op| code.contains(op));
    // Lengths, counts and presence are no secrets.
    secret && compares && !code.contains(".len()") && !code.contains("assert")
}

#[test]
fn no_secret_or_hash_is_compared_by_a_way_that_stops_early() {
    assert!(early("if key.expose() == given {") && !early("if key.expose().len() == 3 {"));
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = Vec::new();
    for name in ["crypto", "gate", "iam", "kubernetes", "platform", "secrets", "server", "store", "wire"] {
        let mut files = Vec::new();
        sources(&crates.join(name).join("src"), &mut files);
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            let is_test = file.to_string_lossy().contains("tests");
            for line in code.lines().filter(|l| !is_test && early(l)) {
                found.push(format!("{}: {}", file.strip_prefix(&crates).unwrap().display(), line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    // The value of a key is looked up by its hash and by nothing else.
    let sql = std::fs::read_to_string(crates.join("iam/src/api_keys/sql.rs")).unwrap();
    assert!(sql.contains("where digest = $1"));
}

#[derive(Default)]
struct Class {
    n: f64,
    mean: f64,
    squares: f64,
}

impl Class {
    fn add(&mut self, x: f64) {
        self.n += 1.0;
        let delta = x - self.mean;
        self.mean += delta / self.n;
        self.squares += delta * (x - self.mean);
    }

    fn variance(&self) -> f64 {
        self.squares / (self.n - 1.0)
    }
}

/// Welch's t of two classes of durations, whose slowest tenth is noise of the machine and left out of both.
fn welch(a: &[f64], b: &[f64]) -> f64 {
    let mut all: Vec<f64> = a.iter().chain(b).copied().collect();
    all.sort_by(f64::total_cmp);
    let limit = all[all.len() * 9 / 10];
    let class = |samples: &[f64]| {
        let mut class = Class::default();
        samples.iter().filter(|x| **x <= limit).for_each(|x| class.add(*x));
        class
    };
    let (a, b) = (class(a), class(b));
    (a.mean - b.mean) / (a.variance() / a.n + b.variance() / b.n).sqrt()
}

#[test]
fn the_measure_tells_classes_apart_that_differ_and_not_those_that_do_not() {
    let noise = |n: usize| (n * 7919 % 1000) as f64;
    let a: Vec<f64> = (0..10_000).map(noise).collect();
    let same: Vec<f64> = (5..10_005).map(noise).collect();
    let slower: Vec<f64> = (0..10_000).map(|n| noise(n) + 50.0).collect();
    assert!(welch(&a, &same).abs() < 4.5);
    assert!(welch(&a, &slower).abs() > 4.5);
}

/// Samples of each class; `AVOUCH_TIMING_SAMPLES` sets another number.
fn samples() -> usize {
    std::env::var("AVOUCH_TIMING_SAMPLES").ok().and_then(|n| n.parse().ok()).unwrap_or(100_000)
}

#[tokio::test]
#[ignore = "measures durations: run alone, in release mode"]
#[allow(clippy::disallowed_methods)] // durations are what is asked for
async fn timing_tells_nothing_of_keys_and_ids() {
    let t = TestApp::with(|c| c.limits.failed_exchanges_per_minute = u32::MAX).await;
    let (admin, stranger) = (t.admin().await, t.outsider().await);
    let world = World::build(&t, &admin).await;
    World::build(&t, &stranger).await;
    let key = world.get("apikey_value");
    let near = format!("{}{}", &key[..key.len() - 1], if key.ends_with('A') { "B" } else { "A" });
    let far = "z".repeat(key.len());
    let grant = ("grant_type", "urn:ibm:params:oauth:grant-type:apikey");
    let (theirs, never) = (
        format!("/v1/profiles/{}", world.get("profile")),
        "/v1/profiles/Profile-00000000-0000-4000-8000-00000000dead",
    );
    let (mut keys, mut ids) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for n in 0..samples() {
        // In turns, and in turns who is first: a slow moment of the machine is one of both classes.
        for class in [n % 2, (n + 1) % 2] {
            let value = [&*near, &*far][class];
            let start = Instant::now();
            let r = t.anon().form("/identity/token", &[grant, ("apikey", value)]).await;
            keys[class].push(start.elapsed().as_nanos() as f64);
            assert_eq!(r.status, 400);
            let start = Instant::now();
            let r = stranger.get([&*theirs, never][class]).await;
            ids[class].push(start.elapsed().as_nanos() as f64);
            assert_eq!(r.status, 404);
        }
    }
    let (keys, ids) = (welch(&keys[0], &keys[1]), welch(&ids[0], &ids[1]));
    println!("t of keys that are nearly right: {keys:.2}; t of ids of another account: {ids:.2}");
    assert!(keys.abs() < 4.5, "how much of a key is right can be told by time: t = {keys:.2}");
}
