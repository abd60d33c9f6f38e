#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::ffi::OsString;

use super::*;

fn words(line: &str) -> Vec<OsString> {
    // Enough of a shell: quotes keep words together.
    let mut words: Vec<String> = vec![String::new()];
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (None, ' ') => words.push(String::new()),
            (None, '\'' | '"') => quote = Some(c),
            (Some(q), c) if q == c => quote = None,
            (_, c) => words.last_mut().unwrap().push(c),
        }
    }
    words.into_iter().filter(|w| !w.is_empty()).map(Into::into).collect()
}

fn parsed(line: &str) -> String {
    match parse(words(line)) {
        Ok(root) => format!("{:?}", root.command),
        Err(answer) => panic!("{line}\n{}", answer.text),
    }
}

fn refused(line: &str) -> Answer {
    parse(words(line)).err().unwrap_or_else(|| panic!("{line} was understood"))
}

#[test]
fn the_tree_of_commands_is_sound() {
    command().debug_assert();
}

#[test]
fn lines_of_published_documents_are_understood() {
    for (line, wanted) in [
        ("avouch login -r us-south -g Default", r#"group: Some("Default")"#),
        (
            "avouch resource service-instance-create sm secrets-manager standard us-south --resource-group RG",
            r#"group: Some("RG")"#,
        ),
        (
            "avouch iam trusted-profile-create my-trusted-profile --description 'My trusted profile'",
            "My trusted profile",
        ),
        (
            "avouch iam trusted-profile-policy-create my-trusted-profile --roles Operator --service-name is",
            r#"roles: ["Operator"]"#,
        ),
        (
            "avouch iam trusted-profile-policy-create P --roles SecretsReader --service-name secrets-manager --service-instance ID",
            r#"service_instance: Some("ID")"#,
        ),
        ("avouch iam tps", "TrustedProfiles"),
        ("avouch iam trusted-profiles", "TrustedProfiles"),
        ("avouch iam tp shop", r#"profile: "shop""#),
        (
            "avouch iam trusted-profile-compute-resource-add P --compute-resource crn:x --compute-resource-type code_engine",
            r#"compute_resource_type: "code_engine""#,
        ),
        (
            "avouch iam authorization-policy-create secrets-manager Reader --source-service-name iam-profile \
             --source-resource-instance-name P --target-resource-instance-name I",
            r#"words: ["secrets-manager", "Reader"]"#,
        ),
        ("avouch ks cluster master refresh", "cluster: None"),
        (
            "avouch resource service-instances --service-name secrets-manager",
            r#"service_name: Some("secrets-manager")"#,
        ),
        ("avouch plugin install code-engine", r#"names: ["code-engine"]"#),
        (
            "avouch login --apikey @key.json -a http://127.0.0.1:2868 -r us-south -g default",
            r#"apikey: Some("@key.json")"#,
        ),
        ("avouch login --cr-token @token --profile my-profile", r#"profile: Some("my-profile")"#),
        ("avouch resource service-instance P --location us-south -g G --crn", "crn: true"),
        (
            "avouch iam trusted-profile-link-create P --name L --cr-type CE --link-crn crn:x \
             --link-component-type job --link-component-name j",
            r#"component_type: Some("job")"#,
        ),
        ("avouch ks cluster get -c prod --output json", r#"cluster: "prod""#),
        (
            "avouch secrets-manager secret-create --secret-type arbitrary --secret-name n --secret-group-id default \
             --arbitrary-payload @password",
            r#"arbitrary_payload: Some("@password")"#,
        ),
        ("avouch secrets-manager secret-version --secret-id S --id previous", r#"id: "previous""#),
        ("avouch sm secret-group --secret-group-id G", r#"id: "G""#),
        (
            "avouch iam service-api-key-create nightly-key nightly --file key.json",
            r#"file: Some("key.json")"#,
        ),
        ("avouch iam why --transaction ID", r#"transaction: Some("ID")"#),
        ("avouch iam why --profile shop-api --cr-token @token", r#"cr_token: Some("@token")"#),
        ("avouch audit", "command: None"),
        ("avouch audit list --limit 5", "limit: 5"),
        ("avouch audit --limit 5", "limit: 5"),
        ("avouch v", "Version"),
        // Keys and payloads are of any letters.
        ("avouch login --apikey -begins-with-a-dash -r us-south", r#"apikey: Some("-begins-with-a-dash")"#),
        (
            "avouch sm secret-create --secret-type arbitrary --secret-name nn --arbitrary-payload --x",
            r#"Some("--x")"#,
        ),
    ] {
        let got = parsed(line);
        assert!(got.contains(wanted), "{line}\n{got}");
    }
}

#[test]
fn flags_stand_before_or_after_names() {
    let after = parsed("avouch iam trusted-profile-create p --description d -q");
    let before = parsed("avouch iam -q trusted-profile-create --description=d p");
    assert_eq!(after, before);
    assert_eq!(
        parsed("avouch -q iam trusted-profile-delete -f p"),
        parsed("avouch iam trusted-profile-delete p -f -q")
    );
}

#[test]
fn switches_take_a_value() {
    let quiet = |line| parse(words(line)).unwrap().global.quiet;
    assert!(
        quiet("avouch version -q") && quiet("avouch version --quiet") && quiet("avouch version --quiet=true")
    );
    assert!(!quiet("avouch version --quiet=false") && !quiet("avouch version"));
    let reuse = |value: &str| {
        parsed(&format!("avouch sm secret-create --secret-type iam_credentials --secret-name n {value}"))
    };
    assert!(reuse("--iam-credentials-reuse-apikey true").contains("reuse_apikey: true"));
    assert!(reuse("--iam-credentials-reuse-apikey false").contains("reuse_apikey: false"));
    assert!(reuse("--iam-credentials-reuse-apikey").contains("reuse_apikey: true"));
}

#[test]
fn formats_are_the_same_in_upper_and_lower_case() {
    for line in
        ["avouch iam tps --output JSON", "avouch --output json iam tps", "avouch iam tps --output=Json"]
    {
        assert_eq!(parse(words(line)).unwrap().global.output, Some(Format::Json), "{line}");
    }
    assert_eq!(refused("avouch iam tps --output xml").code, 2);
}

#[test]
fn lists_are_split_at_commas_and_repeat() {
    let got = parsed("avouch iam access-group-policy-create G --roles 'Content Reader,Viewer' -r Writer");
    assert!(got.contains(r#"roles: ["Content Reader", "Viewer", "Writer"]"#), "{got}");
    let got = parsed(
        "avouch iam trusted-profile-rule-create P --type Profile-CR --cr-type iks_sa \
         --conditions claim:a,operator:EQUALS,value:b --conditions claim:c,operator:IN,value:[1,2]",
    );
    assert!(got.contains("claim:c,operator:IN,value:[1,2]") && got.contains("IksSa"), "{got}");
}

#[test]
fn wrong_lines_are_told_and_end_with_two() {
    for (line, wanted) in [
        ("avouch iam trusted-profile-create", "NAME"),
        ("avouch iam trusted-profile-link-create P --cr-type VSI", "--link-crn"),
        ("avouch login --apikey a --cr-token b", "--cr-token"),
        (
            "avouch iam trusted-profile-policy-create P --roles R --resource-group-name a --resource-group-id b",
            "--resource-group-id",
        ),
        ("avouch iam trusted-profile-policy-create P --roles R --file f", "--file"),
        ("avouch iam tps --nonsense", "--nonsense"),
        ("avouch iam why --profile P", "--cr-token"),
    ] {
        let answer = refused(line);
        assert_eq!(answer.code, 2, "{line}");
        assert!(
            answer.text.starts_with("Incorrect Usage") && answer.text.contains(wanted),
            "{line}\n{}",
            answer.text
        );
    }
}

#[test]
fn unknown_commands_come_with_the_nearest_names() {
    let answer = refused("avouch iam trusted-profile-lst");
    assert_eq!(answer.code, 2);
    insta::assert_snapshot!(answer.text);
    let answer = refused("avouch iamm tps");
    assert!(answer.text.contains("avouch iam\n"), "{}", answer.text);
    assert!(refused("avouch ce app list").text.contains("not part of this version"));
}

#[test]
fn help_is_no_error_on_every_level() {
    for line in
        ["avouch", "avouch --help", "avouch iam --help", "avouch help iam tps", "avouch sm secret-create -h"]
    {
        assert_eq!(refused(line).code, 0, "{line}");
    }
    assert_eq!(refused("avouch iam").code, 2);
}

#[test]
fn every_option_has_a_help_text() {
    fn walk(command: &clap::Command, path: &str, silent: &mut Vec<String>) {
        for sub in command.get_subcommands().filter(|c| !c.is_hide_set()) {
            let path = format!("{path} {}", sub.get_name());
            let options = sub.get_arguments().filter(|a| !a.is_positional() && !a.is_hide_set());
            silent.extend(
                options.filter(|a| a.get_help().is_none()).map(|a| format!("{path} --{}", a.get_id())),
            );
            walk(sub, &path, silent);
        }
    }
    let mut silent = Vec::new();
    walk(&command(), "avouch", &mut silent);
    assert!(silent.is_empty(), "{silent:#?}");
}

/// Every command and its options, so that a change of the grammar is seen.
#[test]
fn grammar() {
    fn walk(command: &clap::Command, path: &str, out: &mut String) {
        for sub in command.get_subcommands() {
            let path = format!("{path} {}", sub.get_name());
            if sub.has_subcommands() {
                walk(sub, &path, out);
                continue;
            }
            let mut words = Vec::new();
            for arg in sub
                .get_arguments()
                .filter(|a| !["help", "output", "quiet", "force"].contains(&a.get_id().as_str()))
            {
                words.push(match (arg.get_long(), arg.get_short()) {
                    (Some(long), Some(short)) => format!("--{long}/-{short}"),
                    (Some(long), None) => format!("--{long}"),
                    (None, Some(short)) => format!("-{short}"),
                    (None, None) => arg.get_id().to_string().to_uppercase(),
                });
            }
            out.push_str(format!("{path} {}", words.join(" ")).trim());
            out.push('\n');
        }
    }
    let mut text = String::new();
    walk(&command(), "", &mut text);
    insta::assert_snapshot!(text);
}
