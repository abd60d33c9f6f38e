//! Prints what decisions and policies cost, beside their targets: `cargo run --release -p avouch-policy --example measure`.
#![allow(clippy::disallowed_methods)]

use avouch_policy::bench_support::measure;
use std::time::Instant;

fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    pages.split(' ').nth(1).and_then(|p| p.trim().parse::<u64>().ok()).unwrap_or(0) * 4096
}

fn main() {
    let start = Instant::now();
    let clock = || u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let sizes: Vec<usize> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![1_000_000, 10_000] } else { sizes };
    println!(
        "policies   p50 ns (2000)  p99 ns (10000)  bytes (300)  change p50 ns  change max ns  permitted %"
    );
    for size in sizes {
        if let Some(f) = measure(size, &clock, &resident) {
            println!(
                "{:>8} {:>15} {:>15} {:>12} {:>14} {:>14} {:>12}",
                f.policies, f.p50, f.p99, f.bytes_per_policy, f.change_p50, f.change_max, f.permitted
            );
        }
    }
}
