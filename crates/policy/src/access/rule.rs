//! The `rule` of a policy: conditions on the time of the request and on attributes of the resource.
//!
//! A rule is one leaf, or leaves joined by `and` / `or`, two levels deep at most. What cannot be read is refused when a
//! policy is written; read back from the store it becomes a leaf that never holds.

use super::attrs::{Key, ResourceAttrs};
use super::clock;
use super::doc::{Invalid, Op};
use super::parse::{Mode, operator_value};
use super::visit::Visitor;
use crate::reason::Reason;
use avouch_wire::Timestamp;
use serde_json::Value;

/// Most leaves of a rule.
const MAX_LEAVES: usize = 10;

/// Direction of a comparison: the value found, compared with the bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Bound {
    fn parse(suffix: &str) -> Option<Self> {
        Some(match suffix {
            "LessThan" => Self::Less,
            "LessThanOrEquals" => Self::LessOrEqual,
            "GreaterThan" => Self::Greater,
            "GreaterThanOrEquals" => Self::GreaterOrEqual,
            _ => return None,
        })
    }

    fn holds(self, found: i64, bound: i64) -> bool {
        match self {
            Self::Less => found < bound,
            Self::LessOrEqual => found <= bound,
            Self::Greater => found > bound,
            Self::GreaterOrEqual => found >= bound,
        }
    }

    fn is_lower(self) -> bool {
        matches!(self, Self::Greater | Self::GreaterOrEqual)
    }
}

/// What a leaf compares. Offsets are seconds east of UTC.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Test {
    /// Weekday and its offset; any of them.
    DayOfWeek(Vec<(u8, i64)>),
    TimeOfDay(Bound, i64, i64),
    Date(Bound, i64, i64),
    DateTime(Bound, i64),
    Resource(Key, Op),
    /// An environment attribute that no request of ours carries.
    Environment(Op),
    Never(&'static str),
}

/// One condition.
#[derive(Clone, Debug, PartialEq)]
pub struct Leaf {
    key: String,
    operator: String,
    value: String,
    pub(crate) test: Test,
}

/// Conditions, joined.
#[derive(Clone, Debug, PartialEq)]
pub enum Rule {
    Leaf(Leaf),
    All(Vec<Rule>),
    Any(Vec<Rule>),
}

impl Rule {
    pub(super) fn parse(value: &Value, mode: Mode) -> Result<Self, Invalid> {
        let rule = Self::level(value, "rule", 0, mode)?;
        if rule.leaves().len() > MAX_LEAVES {
            return Err(Invalid::new("rule", "at most 10 conditions"));
        }
        Ok(rule)
    }

    fn level(value: &Value, path: &str, depth: usize, mode: Mode) -> Result<Self, Invalid> {
        let object = value.as_object().ok_or_else(|| Invalid::new(path, "must be an object"))?;
        if !object.contains_key("conditions") {
            return Leaf::parse(object, path, mode).map(Self::Leaf);
        }
        if depth >= 2 {
            return Err(Invalid::new(path, "at most two levels of and/or"));
        }
        if object.keys().any(|k| !matches!(k.as_str(), "operator" | "conditions")) {
            return Err(Invalid::new(path, "holds a member that is not known"));
        }
        let items = object.get("conditions").and_then(Value::as_array);
        let items = items.filter(|i| !i.is_empty() && i.len() <= MAX_LEAVES).ok_or_else(|| {
            Invalid::new(format!("{path}.conditions"), "must be a list of 1 to 10 conditions")
        })?;
        let rules = items
            .iter()
            .enumerate()
            .map(|(i, item)| Self::level(item, &format!("{path}.conditions[{i}]"), depth + 1, mode))
            .collect::<Result<Vec<_>, _>>()?;
        match object.get("operator").and_then(Value::as_str) {
            Some("and") => Ok(Self::All(rules)),
            Some("or") => Ok(Self::Any(rules)),
            _ => Err(Invalid::new(format!("{path}.operator"), "must be and or or")),
        }
    }

    /// All leaves, in order.
    fn leaves(&self) -> Vec<&Leaf> {
        match self {
            Self::Leaf(leaf) => vec![leaf],
            Self::All(items) | Self::Any(items) => items.iter().flat_map(Rule::leaves).collect(),
        }
    }

    /// Whether the rule holds. `and` and `or` stop at the first condition that decides; without conditions neither holds.
    pub(crate) fn holds<V: Visitor>(&self, res: &ResourceAttrs, now: Timestamp, visitor: &mut V) -> bool {
        let (items, any) = match self {
            Self::Leaf(leaf) => {
                let result = leaf.holds(res, now);
                visitor.check(result, || leaf.reason(res, now));
                return result;
            }
            Self::All(items) => (items, false),
            Self::Any(items) => (items, true),
        };
        visitor.open();
        let mut result = !any && !items.is_empty();
        for item in items {
            if item.holds(res, now, visitor) == any {
                result = any;
                break;
            }
        }
        visitor.close(result, || Reason::group("rule", result).operator(if any { "or" } else { "and" }));
        result
    }

    /// Checks that the rule has the form that its pattern promises.
    pub(super) fn check_pattern(&self, pattern: &str) -> Result<(), Invalid> {
        let ok = match pattern {
            "time-based-conditions:once" => self.is_once(),
            "time-based-conditions:weekly:all-day" => self.is_all_day(),
            "time-based-conditions:weekly:custom-hours" => self.is_custom_hours(),
            "time-based-conditions:weekly" => self.is_all_day() || self.is_custom_hours(),
            "attribute-based-condition:resource:literal-and-wildcard" => {
                self.leaves().iter().all(|l| matches!(l.test, Test::Resource(..) | Test::Environment(_)))
                    && (matches!(self, Self::Leaf(_)) || self.leaves().len() >= 2)
            }
            _ => return Err(Invalid::new("pattern", "is not a known pattern")),
        };
        if ok {
            Ok(())
        } else {
            Err(Invalid::new("rule", "does not have the form that its pattern asks for"))
        }
    }

    /// The leaves of a flat `and`, or the one leaf.
    fn flat(&self) -> Option<Vec<&Leaf>> {
        match self {
            Self::Leaf(leaf) => Some(vec![leaf]),
            Self::All(items) => items
                .iter()
                .map(|i| match i {
                    Self::Leaf(l) => Some(l),
                    _ => None,
                })
                .collect(),
            Self::Any(_) => None,
        }
    }

    fn is_once(&self) -> bool {
        let Some(leaves) = self.flat() else { return false };
        let bounds: Vec<Bound> = leaves
            .iter()
            .filter_map(|l| match l.test {
                Test::DateTime(b, _) | Test::Date(b, ..) => Some(b),
                _ => None,
            })
            .collect();
        leaves.len() == 2 && pair(&bounds)
    }

    fn is_all_day(&self) -> bool {
        let Some(leaves) = self.flat() else { return false };
        match leaves.as_slice() {
            [only] => matches!(only.test, Test::DayOfWeek(_)),
            _ => {
                self.is_custom_hours()
                    && leaves.iter().all(|l| match l.test {
                        Test::TimeOfDay(b, seconds, _) => {
                            seconds == if b.is_lower() { 0 } else { clock::DAY - 1 }
                        }
                        _ => true,
                    })
            }
        }
    }

    fn is_custom_hours(&self) -> bool {
        let Some(leaves) = self.flat() else { return false };
        let bounds: Vec<Bound> = leaves
            .iter()
            .filter_map(|l| match l.test {
                Test::TimeOfDay(b, ..) => Some(b),
                _ => None,
            })
            .collect();
        let days = leaves.iter().filter(|l| matches!(l.test, Test::DayOfWeek(_))).count();
        leaves.len() == 3 && days == 1 && pair(&bounds)
    }

    /// Keys of resource attributes that the rule looks at.
    pub(super) fn resource_keys(&self) -> Vec<Key> {
        let key = |l: &&Leaf| match l.test {
            Test::Resource(key, _) => Some(key),
            _ => None,
        };
        self.leaves().iter().filter_map(key).collect()
    }
}

fn pair(bounds: &[Bound]) -> bool {
    matches!(bounds, [a, b] if a.is_lower() != b.is_lower())
}

impl Leaf {
    fn parse(object: &serde_json::Map<String, Value>, path: &str, mode: Mode) -> Result<Self, Invalid> {
        let at = |name: &str| format!("{path}.{name}");
        if object.keys().any(|k| !matches!(k.as_str(), "key" | "operator" | "value")) {
            return Err(Invalid::new(path, "holds a member that is not known"));
        }
        let text = |name: &str| {
            object.get(name).and_then(Value::as_str).ok_or_else(|| Invalid::new(at(name), "must be a string"))
        };
        let (key, operator) = (text("key")?, text("operator")?);
        let value = object.get("value").unwrap_or(&Value::Null);
        let test = match read(key, operator, value) {
            Ok(test) => test,
            Err((_, problem)) if mode == Mode::Stored => Test::Never(problem),
            Err((member, problem)) => return Err(Invalid::new(at(member), problem)),
        };
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Ok(Self { key: key.to_owned(), operator: operator.to_owned(), value, test })
    }

    fn holds(&self, res: &ResourceAttrs, now: Timestamp) -> bool {
        let seconds = now.millis().div_euclid(1000);
        let local = |offset: i64| seconds.saturating_add(offset);
        match &self.test {
            Test::DayOfWeek(list) => {
                list.iter().any(|(day, offset)| clock::weekday(local(*offset).div_euclid(clock::DAY)) == *day)
            }
            Test::TimeOfDay(bound, at, offset) => bound.holds(local(*offset).rem_euclid(clock::DAY), *at),
            Test::Date(bound, day, offset) => bound.holds(local(*offset).div_euclid(clock::DAY), *day),
            Test::DateTime(bound, at) => bound.holds(seconds, *at),
            Test::Resource(key, op) => op.holds(res.get(*key), res.lacks(*key)),
            Test::Environment(op) => op.holds(None, true),
            Test::Never(_) => false,
        }
    }

    fn reason(&self, res: &ResourceAttrs, now: Timestamp) -> Reason {
        let node = Reason::check("rule", false)
            .on(self.key.clone())
            .operator(self.operator.clone())
            .wanted(self.value.clone());
        match &self.test {
            Test::Resource(key, _) => node.found_opt(res.get(*key)),
            Test::Environment(_) => node.detail("the attribute is not known here and counts as absent"),
            Test::Never(problem) => node.detail(*problem),
            _ => node.found(now.rfc3339_secs()),
        }
    }
}

/// Reads key, operator and value of a leaf; on failure the member and what is wrong with it.
fn read(key: &str, operator: &str, value: &Value) -> Result<Test, (&'static str, &'static str)> {
    let key = key.strip_prefix("{{").and_then(|k| k.strip_suffix("}}")).unwrap_or(key);
    if let Some(name) = key.strip_prefix("resource.attributes.") {
        let op = operator_value(operator, value)?;
        let key = Key::parse(name).ok_or(("key", "is not a known resource attribute"))?;
        return Ok(Test::Resource(key, op));
    }
    let name = key.strip_prefix("environment.attributes.").ok_or(("key", "is not a known attribute"))?;
    let text = || value.as_str().ok_or(("value", "must be a string"));
    let wrong = ("value", "does not have the form that the operator asks for");
    let unknown = Err(("operator", "is not known for this key"));
    match name {
        "day_of_week" => {
            let days = match (operator, value) {
                ("dayOfWeekEquals", one) => clock::day_of_week(one).map(|d| vec![d]),
                ("dayOfWeekAnyOf", Value::Array(list)) if !list.is_empty() && list.len() <= 10 => {
                    list.iter().map(clock::day_of_week).collect()
                }
                ("dayOfWeekAnyOf", _) => None,
                _ => return unknown,
            };
            days.map(Test::DayOfWeek).ok_or(wrong)
        }
        // COMPAT: manuals use the key current_time with date-time operators too: the operator decides the type.
        "current_time" | "current_date" | "current_date_time" => {
            let family = |prefix: &str| operator.strip_prefix(prefix).and_then(Bound::parse);
            if let Some(bound) = family("dateTime") {
                clock::instant(text()?).map(|at| Test::DateTime(bound, at)).ok_or(wrong)
            } else if let Some(bound) = family("time") {
                let time = clock::time_of_day(text()?).ok_or(wrong)?;
                Ok(Test::TimeOfDay(bound, time.0, time.1))
            } else if let Some(bound) = family("date") {
                let date = clock::date_at(text()?).ok_or(wrong)?;
                Ok(Test::Date(bound, date.0, date.1))
            } else {
                unknown
            }
        }
        _ => Ok(Test::Environment(operator_value(operator, value)?)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::super::visit::Silent;
    use super::*;
    use jiff::civil::Weekday;
    use serde_json::json;

    fn rule(v: Value) -> Rule {
        Rule::parse(&v, Mode::Write).unwrap()
    }

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    fn now_holds(rule: &Rule, now: Timestamp) -> bool {
        rule.holds(&ResourceAttrs::default(), now, &mut Silent)
    }

    fn office_hours() -> Value {
        json!({"operator": "and", "conditions": [
            {"key": "{{environment.attributes.day_of_week}}", "operator": "dayOfWeekAnyOf",
             "value": ["1-05:00", "2-05:00", "3-05:00", "4-05:00", "5-05:00"]},
            {"key": "{{environment.attributes.current_time}}", "operator": "timeGreaterThanOrEquals", "value": "09:00:00-05:00"},
            {"key": "environment.attributes.current_time", "operator": "timeLessThanOrEquals", "value": "17:00:00-05:00"}]})
    }

    #[test]
    fn weekly_hours_keep_their_offset_all_year() {
        let r = rule(office_hours());
        r.check_pattern("time-based-conditions:weekly:custom-hours").unwrap();
        for (now, want) in [
            ("2026-11-20T13:59:59.999Z", false),
            ("2026-11-20T14:00:00Z", true),
            ("2026-11-20T21:59:59Z", true),
            ("2026-11-20T22:00:00Z", true),
            ("2026-11-20T22:00:00.999Z", true),
            ("2026-11-20T22:00:01Z", false),
            ("2026-11-21T15:00:00Z", false),
            ("2026-07-17T22:00:00Z", true),
            ("2026-07-17T22:00:01Z", false),
        ] {
            assert_eq!(now_holds(&r, at(now)), want, "{now}");
        }
    }

    /// Against the calendar of another library, over offsets that cross midnight and the week.
    #[test]
    fn every_minute_of_five_years_agrees_with_another_calendar() {
        let offsets = [0i32, -5 * 3600, 5 * 3600 + 1800, 14 * 3600, -12 * 3600, 45 * 60];
        let rules: Vec<Rule> = offsets
            .iter()
            .map(|o| {
                let sign = if *o < 0 { '-' } else { '+' };
                let z = format!("{sign}{:02}:{:02}", o.abs() / 3600, o.abs() % 3600 / 60);
                rule(json!({"operator": "and", "conditions": [
                    {"key": "environment.attributes.day_of_week", "operator": "dayOfWeekAnyOf", "value": [format!("1{z}"), format!("7{z}")]},
                    {"key": "environment.attributes.current_time", "operator": "timeGreaterThan", "value": format!("22:00:00{z}")},
                    {"key": "environment.attributes.current_time", "operator": "timeLessThan", "value": format!("23:30:00{z}")}]}))
            })
            .collect();
        let start = at("2024-01-01T00:00:00Z").secs();
        for minute in 0..5 * 366 * 24 * 60 {
            let secs = start + minute * 60 + 1;
            for (o, r) in offsets.iter().zip(&rules) {
                let zone = jiff::tz::Offset::from_seconds(*o).unwrap();
                let local = zone.to_datetime(jiff::Timestamp::from_second(secs).unwrap());
                let day = matches!(local.weekday(), Weekday::Monday | Weekday::Sunday);
                let want = day && (local.hour() == 22 || (local.hour() == 23 && local.minute() < 30));
                assert_eq!(now_holds(r, Timestamp::from_secs(secs)), want, "{local} at {o}");
            }
        }
    }

    #[test]
    fn times_before_1970_and_bare_weekdays() {
        let thursday = rule(
            json!({"key": "environment.attributes.day_of_week", "operator": "dayOfWeekEquals", "value": 4}),
        );
        assert!(now_holds(&thursday, Timestamp::from_secs(0)));
        assert!(!now_holds(&thursday, Timestamp::from_millis(-1)));
        let late = rule(
            json!({"key": "environment.attributes.current_time", "operator": "timeGreaterThanOrEquals", "value": "23:59:59Z"}),
        );
        assert!(now_holds(&late, Timestamp::from_millis(-1)));
    }

    #[test]
    fn a_window_that_ends_before_it_begins_is_empty() {
        let r = rule(json!({"operator": "and", "conditions": [
            {"key": "environment.attributes.current_time", "operator": "timeGreaterThanOrEquals", "value": "22:00:00Z"},
            {"key": "environment.attributes.current_time", "operator": "timeLessThanOrEquals", "value": "06:00:00Z"}]}));
        assert!((0..24).all(|h| !now_holds(&r, Timestamp::from_secs(h * 3600))));
    }

    #[test]
    fn once_compares_instants_whatever_the_offset() {
        let r = rule(json!({"operator": "and", "conditions": [
            {"key": "environment.attributes.current_date_time", "operator": "dateTimeGreaterThanOrEquals", "value": "2026-12-31T23:00:00-01:00"},
            {"key": "environment.attributes.current_time", "operator": "dateTimeLessThan", "value": "2027-01-01T00:00:02Z"}]}));
        r.check_pattern("time-based-conditions:once").unwrap();
        for (now, want) in [
            ("2026-12-31T23:59:59.999Z", false),
            ("2027-01-01T00:00:01.5Z", true),
            ("2027-01-01T00:00:02Z", false),
        ] {
            assert_eq!(now_holds(&r, at(now)), want, "{now}");
        }
    }

    #[test]
    fn patterns_accept_their_own_form_only() {
        let dow =
            json!({"key": "environment.attributes.day_of_week", "operator": "dayOfWeekAnyOf", "value": [1]});
        let time = |op: &str, v: &str| json!({"key": "environment.attributes.current_time", "operator": op, "value": v});
        let and = |items: Vec<Value>| json!({"operator": "and", "conditions": items});
        let from = time("timeGreaterThanOrEquals", "00:00:00Z");
        let to = time("timeLessThanOrEquals", "23:59:59Z");
        let attr =
            json!({"key": "{{resource.attributes.resource}}", "operator": "stringMatch", "value": "a*"});
        let (once, all_day, hours, attrs) = (
            "time-based-conditions:once",
            "time-based-conditions:weekly:all-day",
            "time-based-conditions:weekly:custom-hours",
            "attribute-based-condition:resource:literal-and-wildcard",
        );
        for (body, pattern, want) in [
            (dow.clone(), all_day, true),
            (and(vec![dow.clone()]), all_day, true),
            (and(vec![dow.clone(), from.clone(), to.clone()]), all_day, true),
            (and(vec![dow.clone(), from.clone(), to.clone()]), hours, true),
            (and(vec![dow.clone(), time("timeGreaterThan", "09:00:00Z"), to.clone()]), all_day, false),
            (dow.clone(), hours, false),
            (dow.clone(), "time-based-conditions:weekly", true),
            (and(vec![dow.clone(), from.clone()]), hours, false),
            (and(vec![dow.clone(), from.clone(), from.clone()]), hours, false),
            (json!({"operator": "or", "conditions": [dow, from, to]}), hours, false),
            (from.clone(), once, false),
            (attr.clone(), attrs, true),
            (and(vec![attr.clone()]), attrs, false),
            (
                and(vec![
                    attr.clone(),
                    json!({"operator": "or", "conditions": [attr.clone(), attr.clone()]}),
                ]),
                attrs,
                true,
            ),
            (and(vec![attr.clone(), from.clone()]), attrs, false),
            (attr.clone(), "time-based-conditions:daily", false),
            (attr, "", false),
        ] {
            assert_eq!(rule(body.clone()).check_pattern(pattern).is_ok(), want, "{pattern} {body}");
        }
    }

    #[test]
    fn malformed_rules_are_refused_on_write() {
        let leaf =
            json!({"key": "{{resource.attributes.resource}}", "operator": "stringEquals", "value": "a"});
        let group = |items: Vec<Value>| json!({"operator": "and", "conditions": items});
        let with = |k: &str, v: Value| {
            let mut l = leaf.clone();
            l[k] = v;
            l
        };
        for bad in [
            json!(null),
            json!([]),
            json!({}),
            group(vec![]),
            group(vec![group(vec![group(vec![leaf.clone()])])]),
            group(vec![leaf.clone(); 11]),
            group(vec![group(vec![leaf.clone(); 6]), group(vec![leaf.clone(); 5])]),
            json!({"operator": "not", "conditions": [leaf.clone()]}),
            with("operator", json!("stringLike")),
            with("operator", json!("dateTimeLessThan")),
            with("key", json!("{{resource.attributes.unheardOf}}")),
            with("key", json!("{{subject.attributes.iam_id}}")),
            with("value", json!(null)),
            with("negate", json!(true)),
        ] {
            assert!(Rule::parse(&bad, Mode::Write).is_err(), "{bad}");
        }
        assert!(Rule::parse(&leaf, Mode::Write).is_ok());
    }

    #[test]
    fn stored_conditions_of_a_later_version_never_hold() {
        for (op, key) in [
            ("stringLike", "resource.attributes.resource"),
            ("stringExists", "resource.attributes.unheardOf"),
        ] {
            let body = json!({"key": key, "operator": op, "value": false});
            let r = Rule::parse(&body, Mode::Stored).unwrap();
            assert!(!now_holds(&r, Timestamp::from_secs(0)), "{body}");
        }
        let absent = json!({"key": "{{environment.attributes.delimiter}}", "operator": "stringExists", "value": false});
        assert!(
            now_holds(&rule(absent), Timestamp::from_secs(0)),
            "unknown environment attributes are absent"
        );
        let wanted =
            json!({"key": "{{environment.attributes.delimiter}}", "operator": "stringEquals", "value": "/"});
        assert!(!now_holds(&rule(wanted), Timestamp::from_secs(0)));
    }
}
