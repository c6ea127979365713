//! The kinds of desktop that this agent offers: those of its own file, and those of the cluster's configuration
//! for which it has what they require.
//!
//! Where both know a name, the command is the own file's; title and size are the configuration's.

use abide_policy::{ClusterConfig, DesktopSize, ProfileRules};

use crate::settings::{Profile, Settings};

/// One on offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Offered {
    /// What it is called and runs.
    pub(crate) profile: Profile,
    /// The display's size at first; the usual one if absent.
    pub(crate) size: Option<DesktopSize>,
}

/// All on offer: in the configuration's order, then what only the own file has.
pub(crate) fn offered(settings: &Settings, config: &ClusterConfig) -> Vec<Offered> {
    let known = config.profiles.iter().filter_map(|rules| ruled(settings, config, rules));
    let own = settings.profiles.iter().filter(|own| config.profile(&own.name).is_none());
    let own = own.map(|profile| Offered { profile: profile.clone(), size: None });
    known.chain(own).collect()
}

/// One that the configuration speaks of, if it is on offer here.
fn ruled(settings: &Settings, config: &ClusterConfig, rules: &ProfileRules) -> Option<Offered> {
    let ProfileRules { name, title, command, plain, environment, size, .. } = rules;
    let own = settings.profiles.iter().find(|own| own.name == *name);
    let profile = match (own, command) {
        (Some(own), _) => own.clone(),
        (None, Some(command)) => {
            let mut missing = config.missing(name, &settings.name, &settings.labels);
            if missing.next().is_some() {
                return None;
            }
            Profile {
                name: name.clone(),
                title: name.to_string(),
                command: command.clone(),
                plain: *plain,
                environment: environment.clone(),
            }
        }
        (None, None) => return None,
    };
    let title = title.as_ref().map_or(profile.title, ToString::to_string);
    Some(Offered { profile: Profile { title, ..profile }, size: *size })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::settings::settings_from;

    use super::*;

    const OWN: &str = "
        public_url = 'http://127.0.0.7:8080'
        name = 'eng-1'
        run_as = 'agent-user'
        labels = ['fast']
        listen.http = '127.0.0.7:8080'
        tls.mode = 'off'
        [[profile]]
        name = 'xfce'
        title = 'Own XFCE'
        command = ['own']
        [[profile]]
        name = 'mate'
        command = ['mate-session']";

    #[test]
    fn what_the_cluster_defines_is_offered_beside_the_own_where_nothing_is_missing() {
        let settings = settings_from(Path::new("agent.toml"), OWN).unwrap();
        let text = "
            [agent.eng-1]
            labels = ['gpu']
            [[profile]]
            name = 'cad'
            command = ['cad', '--full']
            environment = ['A=b']
            plain = true
            requires = ['gpu', 'fast']
            size = '1920x1080'
            [[profile]]
            name = 'video'
            command = ['video']
            requires = ['encoder']
            [[profile]]
            name = 'xfce'
            title = 'XFCE'
            command = ['theirs']
            size = '800x600'
            [[profile]]
            name = 'elsewhere'
            requires = ['gpu']";
        let config = abide_policy_text::read(text).unwrap();
        let all = offered(&settings, &config);
        let told = all.iter().map(|it| {
            let Profile { name, title, command, .. } = &it.profile;
            (name.as_str(), title.as_str(), command.join(" "), it.size.map(|size| size.width))
        });
        assert_eq!(
            told.collect::<Vec<_>>(),
            [
                ("cad", "cad", "cad --full".to_owned(), Some(1920)),
                ("xfce", "XFCE", "own".to_owned(), Some(800)),
                ("mate", "mate", "mate-session".to_owned(), None),
            ]
        );
        assert!(all[0].profile.plain && all[0].profile.environment["A"] == "b");
        let names = offered(&settings, &ClusterConfig::default());
        let names: Vec<_> = names.iter().map(|it| it.profile.title.as_str()).collect();
        assert_eq!(names, ["Own XFCE", "mate"]);
    }
}
