//! Wildcard patterns of access policies.
//!
//! `*` stands for zero or more characters, `?` for exactly one, `{{*}}` and `{{?}}` for the characters themselves; nothing
//! else is special. A pattern covers the whole text, case-sensitive, by Unicode scalar values. There is no separator that
//! a `*` stops at.
//!
//! The matcher is the two-pointer walk: it remembers only the last `*`, so its cost is at most pattern length times text
//! length, and a hostile pattern cannot make it exponential. It refuses to know character classes or regular expressions.

/// One step of a pattern: what the next character of the text must be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Any,
    One,
    Literal(char),
}

/// The step at the start of `pattern`, and how many bytes of the pattern it takes.
fn step(pattern: &str) -> Option<(Step, usize)> {
    if pattern.starts_with("{{*}}") {
        return Some((Step::Literal('*'), 5));
    }
    if pattern.starts_with("{{?}}") {
        return Some((Step::Literal('?'), 5));
    }
    let c = pattern.chars().next()?;
    Some(match c {
        '*' => (Step::Any, 1),
        '?' => (Step::One, 1),
        _ => (Step::Literal(c), c.len_utf8()),
    })
}

/// Whether `pattern` covers the whole of `text`.
///
/// ```
/// use avouch_policy::wildcard::matches;
/// assert!(matches("dev-*", "dev-"));
/// assert!(matches("dev-?", "dev-a"));
/// assert!(!matches("dev-?", "dev-"));
/// assert!(matches("dev-{{*}}-?", "dev-*-a"));
/// assert!(!matches("dev-{{*}}-?", "dev-x-a"));
/// ```
pub fn matches(pattern: &str, text: &str) -> bool {
    let (mut p, mut t) = (pattern, text);
    // Where to go on when the walk fails: after the last `*`, with one more character given to it.
    let mut retry: Option<(&str, &str)> = None;
    loop {
        let taken = match step(p) {
            Some((Step::Any, len)) => {
                p = p.get(len..).unwrap_or_default();
                if p.is_empty() {
                    return true;
                }
                retry = Some((p, t));
                continue;
            }
            Some((Step::One, len)) => t.chars().next().map(|c| (len, c)),
            Some((Step::Literal(want), len)) => t.chars().next().filter(|c| *c == want).map(|c| (len, c)),
            None if t.is_empty() => return true,
            None => None,
        };
        match taken {
            Some((len, c)) => {
                p = p.get(len..).unwrap_or_default();
                t = t.get(c.len_utf8()..).unwrap_or_default();
            }
            None => {
                let Some((after, from)) = retry else { return false };
                let Some(c) = from.chars().next() else { return false };
                let from = from.get(c.len_utf8()..).unwrap_or_default();
                retry = Some((after, from));
                p = after;
                t = from;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use proptest::prelude::*;

    /// The meaning of a pattern, read by its own reader: nothing here is shared with the matcher.
    enum Part {
        Many,
        Single,
        Exact(char),
    }

    fn parts(pattern: &str) -> Vec<Part> {
        let all: Vec<char> = pattern.chars().collect();
        let mut out = Vec::new();
        let mut at = 0;
        while at < all.len() {
            let escaped = match all[at..] {
                ['{', '{', c @ ('*' | '?'), '}', '}', ..] => Some(c),
                _ => None,
            };
            out.push(match (escaped, all[at]) {
                (Some(c), _) => Part::Exact(c),
                (None, '*') => Part::Many,
                (None, '?') => Part::Single,
                (None, c) => Part::Exact(c),
            });
            at += if escaped.is_some() { 5 } else { 1 };
        }
        out
    }

    /// Obvious and exponential: the meaning written down as a recursion.
    fn naive(p: &[Part], t: &[char]) -> bool {
        match (p.split_first(), t.split_first()) {
            (None, None) => true,
            (None, Some(_)) => false,
            (Some((Part::Many, rest)), None) => naive(rest, t),
            (Some((Part::Many, rest)), Some((_, tail))) => naive(rest, t) || naive(p, tail),
            (Some((Part::Single, rest)), Some((_, tail))) => naive(rest, tail),
            (Some((Part::Exact(c), rest)), Some((d, tail))) => c == d && naive(rest, tail),
            (Some(_), None) => false,
        }
    }

    /// Compares the matcher with the recursion on random pairs, a third of them made to match; says how many did.
    fn compare(pairs: u64, seed: u64) -> u64 {
        const PATTERN: [&str; 12] = ["a", "b", "*", "*", "?", "{{*}}", "{{?}}", "{", "}", "{{", "}}", "é"];
        const TEXT: [char; 7] = ['a', 'b', '*', '?', '{', '}', 'é'];
        let mut state = seed;
        let mut below = move |n: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % n as u64).unwrap()
        };
        let mut matched = 0;
        for _ in 0..pairs {
            let mut pattern = String::new();
            for _ in 0..below(9) {
                pattern.push_str(PATTERN[below(PATTERN.len())]);
            }
            let p = parts(&pattern);
            let mut text: Vec<char> = Vec::new();
            if below(3) == 0 {
                for part in &p {
                    let n = match part {
                        Part::Many => below(3),
                        _ => 1,
                    };
                    for _ in 0..n {
                        text.push(match part {
                            Part::Exact(c) => *c,
                            _ => TEXT[below(TEXT.len())],
                        });
                    }
                }
            } else {
                for _ in 0..below(9) {
                    text.push(TEXT[below(TEXT.len())]);
                }
            }
            let want = naive(&p, &text);
            let joined: String = text.iter().collect();
            assert_eq!(matches(&pattern, &joined), want, "{pattern} on {joined}");
            matched += u64::from(want);
        }
        matched
    }

    #[test]
    fn agrees_with_the_obvious_recursion() {
        let pairs = 400_000;
        let matched = compare(pairs, 0x9e37_79b9_7f4a_7c15);
        assert!(matched > pairs / 3 && matched < pairs * 2 / 3, "{matched}");
    }

    /// `cargo test --release -p avouch-policy --lib -- --ignored hundred_million`
    #[test]
    #[ignore = "minutes, in release mode"]
    fn agrees_with_the_obvious_recursion_on_a_hundred_million_pairs() {
        for round in 1..=10 {
            compare(10_000_000, 0x2545_f491_4f6c_dd1d * round);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn a_pattern_without_wildcards_is_equality(a in "[a-z/:.-]{0,20}", b in "[a-z/:.-]{0,20}") {
            prop_assert!(matches(&a, &a));
            prop_assert_eq!(matches(&a, &b), a == b);
        }
    }

    #[test]
    fn published_examples() {
        for (p, t, want) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "anything/with:all", true),
            ("?", "é", true),
            ("?", "", false),
            ("{{*}}", "*", true),
            ("{{*}}", "a", false),
            ("{{?}}", "?", true),
            ("{{?}}", "a", false),
            ("{{x}}", "{{x}}", true),
            ("A*", "a", false),
            ("*a*b", "xaxb", true),
            ("*a*b", "xaxbc", false),
            ("dev-{{*}}-?", "dev-*-a", true),
            ("dev-{{*}}-?", "dev-x-a", false),
        ] {
            assert_eq!(matches(p, t), want, "{p} on {t}");
        }
    }

    /// By trying every way to share out the text none of these would end.
    #[test]
    fn catastrophic_patterns_end() {
        let text = "a".repeat(1000);
        for pattern in
            ["*a".repeat(250) + "b", "a*".repeat(500) + "b", "*?".repeat(500) + "b", "*".repeat(1000) + "b"]
        {
            assert!(!matches(&pattern, &text), "{pattern}");
        }
    }
}
