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
    use std::time::Instant;

    /// Obvious and exponential: the meaning written down as a recursion.
    fn naive(p: &[Step], t: &[char]) -> bool {
        match (p.split_first(), t.split_first()) {
            (None, None) => true,
            (None, Some(_)) => false,
            (Some((Step::Any, rest)), None) => naive(rest, t),
            (Some((Step::Any, rest)), Some((_, tail))) => naive(rest, t) || naive(p, tail),
            (Some((Step::One, rest)), Some((_, tail))) => naive(rest, tail),
            (Some((Step::Literal(c), rest)), Some((d, tail))) => c == d && naive(rest, tail),
            (Some(_), None) => false,
        }
    }

    fn steps(mut pattern: &str) -> Vec<Step> {
        let mut out = Vec::new();
        while let Some((s, len)) = step(pattern) {
            out.push(s);
            pattern = &pattern[len..];
        }
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn agrees_with_the_obvious_recursion(
            pattern in "([ab]|\\*|\\?|\\{\\{\\*\\}\\}|\\{\\{\\?\\}\\}|\\{|é){0,9}",
            text in "([ab]|\\*|\\?|\\{|\\}|é){0,9}",
        ) {
            let t: Vec<char> = text.chars().collect();
            prop_assert_eq!(matches(&pattern, &text), naive(&steps(&pattern), &t));
        }

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

    #[test]
    fn catastrophic_patterns_end_quickly() {
        let text = "a".repeat(1000);
        for pattern in
            ["*a".repeat(250) + "b", "a*".repeat(500) + "b", "*?".repeat(500) + "b", "*".repeat(1000) + "b"]
        {
            let start = Instant::now();
            assert!(!matches(&pattern, &text));
            // Far above the real cost, far below anything exponential: this is no benchmark.
            assert!(start.elapsed().as_millis() < 500, "{pattern}");
        }
    }
}
