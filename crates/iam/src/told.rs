//! What events of this service tell beyond who and what: changed fields with their old and new values, and quotas that
//! are nearly used up.

use avouch_gate::{Details, Error, Kind, Result};
use serde_json::{Map, Value, json};

/// Members that change with every write, or are no change of the object itself.
const QUIET: &[&str] = &["entity_tag", "modified_at", "history", "activity", "apikey"];

/// Tells which members of a rendered object changed, from what and to what. Rendered objects hold no secret beside
/// `apikey`, which is left out.
pub fn change(event: &mut Details, old: &Value, new: &Value) {
    let none = Map::new();
    let (old, new) = (old.as_object().unwrap_or(&none), new.as_object().unwrap_or(&none));
    let (mut fields, mut before, mut after) = (Vec::new(), Map::new(), Map::new());
    let names = old.keys().chain(new.keys().filter(|k| !old.contains_key(*k)));
    for name in names.filter(|n| !QUIET.contains(&n.as_str())) {
        let (was, is) = (old.get(name), new.get(name));
        if was != is {
            fields.push(json!(name));
            before.extend(was.map(|v| (name.clone(), v.clone())));
            after.extend(is.map(|v| (name.clone(), v.clone())));
        }
    }
    event.request("updated_fields", fields).request("initialValue", before).request("newValue", after);
}

/// A rename in the published words.
pub fn rename(event: &mut Details, old: &str, new: &str) {
    if old != new {
        event.request("instance_name", new).request("prev_instance_name", old);
    }
}

/// Checks a quota before something is made: `present` exist already, `limit` may. 0 means any number, and then nothing is
/// counted. From nine tenths on, the event of the creation says how much is used.
///
/// # Errors
/// `Limit` when none is left; those of counting.
pub fn quota(
    event: &mut Details,
    what: &str,
    limit: u32,
    present: impl FnOnce() -> Result<i64>,
) -> Result<()> {
    if limit == 0 {
        return Ok(());
    }
    let (limit, present) = (i64::from(limit), present()?);
    if present >= limit {
        event.warning = Some(format!("the maximum number of allowed {what} is {limit}, {present} exist"));
        return Err(Error::new(Kind::Limit, format!("The maximum number of allowed {what} is reached.")));
    }
    let made = present.saturating_add(1);
    if made.saturating_mul(10) >= limit.saturating_mul(9) {
        event.warning = Some(format!("the maximum number of allowed {what} is {limit}, {made} exist now"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_changed_members_are_told_and_never_a_key() {
        let mut event = Details::default();
        change(
            &mut event,
            &json!({"name": "a", "email": "x", "entity_tag": "1", "apikey": "canary"}),
            &json!({"name": "b", "email": "x", "entity_tag": "2", "description": "d", "apikey": ""}),
        );
        assert_eq!(event.request["updated_fields"], json!(["name", "description"]));
        assert_eq!(event.request["initialValue"], json!({"name": "a"}));
        assert_eq!(event.request["newValue"], json!({"name": "b", "description": "d"}));
        assert!(!format!("{event:?}").contains("canary"));
    }

    #[test]
    fn a_quota_warns_at_nine_tenths_and_refuses_at_its_end() {
        let warns = |present| {
            let mut event = Details::default();
            (quota(&mut event, "profiles", 10, || Ok(present)).is_ok(), event.warning.is_some())
        };
        assert_eq!(warns(7), (true, false));
        assert_eq!(warns(8), (true, true));
        assert_eq!(warns(9), (true, true));
        assert_eq!(warns(10), (false, true));
        assert!(quota(&mut Details::default(), "profiles", 0, || Ok(i64::MAX)).is_ok());
    }
}
