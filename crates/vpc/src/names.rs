//! Names of objects: their form, and the four words of those that nobody named.

use avouch_crypto::rng::Random;
use avouch_gate::{Error, Result};

use crate::fields::Fields;

/// Longest name.
const LONGEST: usize = 63;

/// Short words that offend nobody.
const WORDS: [&str; 128] = [
    "acorn", "alder", "almond", "amber", "anchor", "anvil", "apple", "apron", "arrow", "ash", "aspen",
    "atlas", "autumn", "badge", "badger", "bamboo", "banjo", "barley", "basil", "basket", "beacon", "beaver",
    "birch", "bishop", "bonnet", "boulder", "bramble", "breeze", "bridge", "bronze", "buckle", "butter",
    "cabin", "candle", "canoe", "canyon", "carbon", "cedar", "cherry", "chisel", "cinder", "clover",
    "cobalt", "comet", "copper", "coral", "cotton", "crane", "cricket", "crimson", "crocus", "crystal",
    "cypress", "daisy", "dapper", "delta", "dove", "dusk", "eagle", "early", "easel", "echo", "elder", "elm",
    "ember", "falcon", "feather", "fennel", "fern", "fiddle", "finch", "flint", "forest", "fossil", "fox",
    "garnet", "ginger", "glade", "granite", "grape", "harbor", "hazel", "heron", "hickory", "honey",
    "indigo", "iris", "ivory", "jasper", "juniper", "kestrel", "kettle", "lantern", "larch", "laurel",
    "lemon", "lichen", "lilac", "linen", "lotus", "maple", "marble", "meadow", "mellow", "mint", "mosaic",
    "nectar", "oak", "olive", "onyx", "opal", "orchid", "otter", "pebble", "pepper", "pine", "plum",
    "poplar", "quartz", "raven", "reed", "robin", "saffron", "sage", "sparrow", "spruce", "thistle",
    "willow",
];

/// Four words joined by hyphens. Draw it outside of closures that may run twice.
pub fn draw(random: &dyn Random) -> String {
    let mut bytes = [0_u8; 4];
    random.fill(&mut bytes);
    let words: Vec<&str> =
        bytes.iter().filter_map(|b| WORDS.get(usize::from(*b) % WORDS.len()).copied()).collect();
    words.join("-")
}

/// Whether a name has the published form: lower-case letters, digits and single hyphens inside, a letter first.
pub fn is_name(name: &str) -> bool {
    let ends = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    name.len() <= LONGEST
        && name.bytes().next().is_some_and(|b| b.is_ascii_lowercase())
        && name.bytes().next_back().is_some_and(ends)
        && name.bytes().all(|b| ends(b) || b == b'-')
}

/// The member `name` of a body.
///
/// # Errors
/// `Invalid`.
pub fn read(fields: &mut Fields) -> Result<Option<String>> {
    let Some(name) = fields.text("name")? else { return Ok(None) };
    if is_name(&name) {
        return Ok(Some(name));
    }
    let field = fields.name("name");
    let text = format!(
        "The property '{field}' must have 1 to {LONGEST} lower-case letters, digits and hyphens, begin with a letter and \
         not end with a hyphen."
    );
    Err(Error::invalid(field, text))
}

/// Sets the new name, if a patch has one.
pub fn set(name: &mut String, new: Option<&String>) {
    if let Some(new) = new {
        name.clone_from(new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use avouch_crypto::rng::SystemRandom;

    #[test]
    fn names_have_the_published_form_and_so_do_drawn_ones() {
        for good in ["a", "my-vpc", "a1", "a--b", &"a".repeat(63)] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "-a", "a-", "1a", "A", "a_b", "a b", "ä", &"a".repeat(64)] {
            assert!(!is_name(bad), "{bad}");
        }
        assert!(WORDS.iter().all(|w| is_name(w) && w.len() < 15));
        let drawn = draw(&SystemRandom);
        assert!(is_name(&drawn) && drawn.matches('-').count() == 3, "{drawn}");
    }
}
