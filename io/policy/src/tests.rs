use std::time::Duration;

use abide_policy::{ClusterConfig, ShadowMode};

use super::{TEMPLATE, read};

fn problems(text: &str) -> Vec<String> {
    let problems = read(text).expect_err("it should be refused").to_string();
    problems.lines().map(str::to_owned).collect()
}

#[test]
fn the_template_says_nothing_and_shows_everything_in_order() {
    assert_eq!(read(TEMPLATE).unwrap(), ClusterConfig::default());
    let is_shown = |line: &&str| {
        line.strip_prefix("# ").is_some_and(|rest| rest.contains(" = ") || rest.starts_with('['))
    };
    let shown: Vec<_> = TEMPLATE
        .lines()
        .map(|line| {
            if is_shown(&line) {
                &line[2..]
            } else if line.starts_with('#') {
                ""
            } else {
                line
            }
        })
        .collect();
    let config = read(&shown.join("\n")).unwrap();
    assert_eq!(config.pools.len(), 2);
    assert!(config.pools[1].is_default);
    assert_eq!(config.limits.idle, Some(Duration::from_secs(8 * 3600)));
    assert_eq!(config.shadow.mode, ShadowMode::Ask);
    assert_eq!(config.hosts["eng-1"].max_sessions, Some(30));
    assert_eq!(config.profiles[0].limits.total, Some(Duration::from_secs(24 * 3600)));
    assert!(config.profiles[0].requires.contains(&"gpu".parse().unwrap()));
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let told = problems(
        "[limits]\nidle = '5s'\n[[pool]]\nname = 'a'\nagents = []\n[[pool]]\nname = 'a'\n\
         agents = ['*']\ndefault = true\n[[pool]]\nname = 'b'\nagents = ['x']\ndefault = true\n\
         [[profile]]\nname = 'cad'\nplain = true\nsize = '1x1'\n[agent.x]\nweight = 0",
    );
    for expected in [
        "idle must be a minute",
        "offered to nobody",
        "agents must name one",
        "another has the name \"a\"",
        "\"a\" is the default already",
        "belong to a command",
        "1280x800",
        "agent.x.weight",
    ] {
        assert!(told.iter().any(|it| it.contains(expected)), "{expected}: {told:#?}");
    }
}

#[test]
fn a_slip_in_a_profiles_name_is_found_and_an_agents_own_profile_is_none() {
    let text = |name| {
        format!(
            "[[profile]]\nname = 'xfce'\n[[pool]]\nname = 'all'\nagents = ['*']\ndefault = true\n\
             profiles = ['{name}']"
        )
    };
    assert!(problems(&text("xfec"))[0].contains("did you mean \"xfce\"?"));
    assert!(read(&text("icewm")).is_ok());
}

#[test]
fn the_page_for_administrators_has_the_whole_template() {
    let page = include_str!("../../../docs/configuration.md");
    assert!(page.contains(TEMPLATE), "docs/configuration.md shows another template");
}

#[test]
fn what_agents_could_not_tell_brokers_of_is_refused() {
    let many: String = (0..501).map(|n| format!("[[profile]]\nname = 'p{n}'\n")).collect();
    assert!(problems(&many)[0].contains("there are 501 profiles"));
    let long = format!("[[profile]]\nname = 'p'\ntitle = '{}'", "x".repeat(257));
    assert!(problems(&long)[0].contains("title has 257 bytes"));
}
