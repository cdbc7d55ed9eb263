use std::path::Path;

use super::*;
use crate::{ByteSize, DEFAULT_FILE, Duration};

fn file(text: &str) -> Result<Table, String> {
    file::parse(Path::new("store.toml"), text).map_err(|error| error.to_string())
}

fn from(env: &[(&str, &str)], flags: Vec<Flag>) -> Result<Loaded, String> {
    let env = env
        .iter()
        .map(|(name, value)| ((*name).into(), (*value).into()))
        .collect();
    Loaded::load(&Sources {
        env,
        flags,
        ..Sources::default()
    })
    .map_err(|error| error.to_string())
}

#[test]
fn default_file_is_the_default_and_shows_every_key() {
    let shown = file(DEFAULT_FILE).unwrap();
    assert_eq!(
        toml::from_str::<Config>(DEFAULT_FILE).unwrap(),
        Config::default()
    );
    for (section, values) in table(&Config::default()) {
        for key in values.as_table().unwrap().keys() {
            assert!(
                shown[&section].get(key).is_some(),
                "`{section}.{key}` is missing"
            );
        }
    }
    let lines: Vec<&str> = DEFAULT_FILE.lines().collect();
    for pair in lines.windows(2) {
        let sets = !pair[1].starts_with(['#', ' ', '[', ']']) && pair[1].contains(" = ");
        assert!(
            !sets || pair[0].starts_with('#'),
            "`{}` says nothing about itself",
            pair[1]
        );
    }
}

#[test]
fn later_sources_win() {
    let dir = tempfile::tempdir().unwrap();
    let text = "[network]\nname = \"file\"\nmdns = false\nmax_connections = 9\n";
    std::fs::write(dir.path().join(CONFIG_FILE), text).unwrap();
    let sources = Sources {
        repo: Some(dir.path().into()),
        env: vec![
            ("STORE_NETWORK_NAME".into(), "env".into()),
            ("STORE_NETWORK_MDNS".into(), "true".into()),
            ("STORE_PATH".into(), "/elsewhere".into()),
            ("PATH".into(), "/bin".into()),
        ],
        flags: vec![Flag {
            name: "--network",
            key: "network.name",
            values: vec!["flag".into()],
        }],
        ..Sources::default()
    };
    let loaded = Loaded::load(&sources).unwrap();
    assert_eq!(loaded.config.network.name.as_str(), "flag");
    assert!(loaded.config.network.mdns);
    assert_eq!(loaded.config.network.max_connections.get(), 9);
    assert_eq!(loaded.config.exchange, Config::default().exchange);
    assert_eq!(loaded.origin("network.name"), Origin::Flag("--network"));
    assert_eq!(loaded.origin("log.level"), Origin::Default);

    let shown = loaded.to_toml();
    assert!(
        shown.contains("name = \"flag\" # flag `--network`"),
        "{shown}"
    );
    assert!(
        shown.contains("mdns = true # environment variable `STORE_NETWORK_MDNS`"),
        "{shown}"
    );
    assert_eq!(toml::from_str::<Config>(&shown).unwrap(), loaded.config);
}

#[test]
fn text_becomes_the_type_of_its_setting() {
    let two = "/ip4/127.0.0.1/tcp/1, /ip4/127.0.0.1/tcp/2";
    let loaded = from(
        &[
            ("STORE_STORAGE_LOW_MEMORY", "1"),
            ("STORE_NETWORK_LISTEN", two),
            ("STORE_EXCHANGE_STALL_TIMEOUT", "90s"),
            ("STORE_EXCHANGE_DOWNLOAD_MEMORY", "1GiB"),
            ("STORE_NETWORK_MAX_CONNECTIONS", "3"),
            ("STORE_METRICS_ADDRESS", "127.0.0.1:9170"),
            ("STORE_LOG", "debug"),
        ],
        Vec::new(),
    );
    let config = loaded.unwrap().config;
    assert!(config.storage.low_memory);
    assert_eq!(config.network.listen.len(), 2);
    assert_eq!(config.exchange.stall_timeout, Duration::from_secs(90));
    assert_eq!(config.exchange.download_memory, ByteSize(1 << 30));
    assert_eq!(config.network.max_connections.get(), 3);
    assert_eq!(
        config.metrics.address.0,
        Some(([127, 0, 0, 1], 9170).into())
    );
    assert_eq!(config.log.level, "debug");
    assert!(
        from(&[("STORE_NETWORK_LISTEN", "")], Vec::new())
            .unwrap()
            .config
            .network
            .listen
            .is_empty()
    );
}

#[test]
fn tags_come_as_a_table_or_as_pairs() {
    let tags = |loaded: &Loaded| loaded.config.members.tags.to_string();
    let env = from(&[("STORE_MEMBERS_TAGS", "zone=eu-1, rack=7")], Vec::new()).unwrap();
    assert_eq!(tags(&env), "rack=7 zone=eu-1");
    let text = "[members]\ntags = { zone = \"eu-1\" }\n";
    assert!(file(text).is_ok());
    assert_eq!(
        toml::from_str::<Config>(text)
            .unwrap()
            .members
            .tags
            .to_string(),
        "zone=eu-1"
    );
    for (value, reason) in [
        ("zone", "`zone` is no pair"),
        ("Zone=a", "tag name `Zone`"),
        ("zone=", "tag value"),
    ] {
        let error = from(&[("STORE_MEMBERS_TAGS", value)], Vec::new()).unwrap_err();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn copies_by_name_come_as_tables_or_as_pairs() {
    let env = from(
        &[
            ("STORE_REPLICATION_DEFAULTS", "*.iso=1/2/3, *.tmp=0"),
            ("STORE_REPLICATION_TIME_SCALE", "60"),
            ("STORE_REPLICATION_REPLICAS", "4"),
        ],
        Vec::new(),
    );
    let env = env.unwrap();
    let shown = env.to_toml();
    assert_eq!(toml::from_str::<Config>(&shown).unwrap(), env.config);
    let replication = env.config.replication;
    assert_eq!(replication.replicas.to_string(), "3/4/6");
    assert!((replication.time_scale.get() - 60.0).abs() < f64::EPSILON);
    let named = |name: &str| {
        let found = replication.named(Path::new(name));
        found.map(|found| found.replicas.to_string())
    };
    assert_eq!(named("a.iso").as_deref(), Some("1/2/3"));
    assert_eq!(named("a.tmp").as_deref(), Some("0"));
    assert_eq!(named("a"), None);
    for (value, reason) in [
        ("*.iso", "`*.iso` is no default"),
        ("*=many", "no number of copies"),
    ] {
        let error = from(&[("STORE_REPLICATION_DEFAULTS", value)], Vec::new()).unwrap_err();
        assert!(error.contains(reason), "{error}");
    }
    let text = "[replication]\ndefaults = [\n    { pattern = \"*.iso\", replicas = 99 },\n]\n";
    let error = file(text).unwrap_err();
    assert!(error.contains("`99` is no number of copies"), "{error}");
}

#[test]
fn file_errors_name_file_line_and_key() {
    for (text, expected) in [
        (
            "[network]\n# a name\nnmae = \"x\"\n",
            "config file `store.toml`, line 3: `network.nmae`: unknown key `nmae`, expected one of `name`, ",
        ),
        (
            "\n[netwrk]\nname = \"x\"\n",
            "config file `store.toml`, line 2: `netwrk`: unknown key `netwrk`, expected one of `storage`, ",
        ),
        (
            "[network]\nname = \"x\"\nmdns = \"yes\"\n",
            "config file `store.toml`, line 3: `network.mdns`: invalid type: string \"yes\", expected a boolean",
        ),
        (
            "[exchange]\nstall_timeout = \"soon\"\n",
            "config file `store.toml`, line 2: `exchange.stall_timeout`: `soon` is no duration; expected ",
        ),
        (
            "[exchange]\nstall_timeout = 30\n",
            "config file `store.toml`, line 2: `exchange.stall_timeout`: invalid type: integer `30`, expected a duration such as \"30s\"",
        ),
        (
            "[network]\nmax_connections = 0\n",
            "config file `store.toml`, line 2: `network.max_connections`: invalid value: integer `0`, expected a nonzero u32",
        ),
        (
            "[network]\nlisten = [\n    \"/ip4/1.2.3.4/tcp/1\",\n    \"nowhere\",\n]\n",
            "config file `store.toml`, line 2: `network.listen`: `nowhere` is no address; expected ",
        ),
        (
            "[network]\nname \"x\"\n",
            "config file `store.toml`, line 2: ",
        ),
        ("\u{1}\u{2}garbage", "config file `store.toml`, line 1: "),
    ] {
        let error = file(text).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn variables_of_others_are_none_of_our_business() {
    for name in ["STORE_FRONT", "STORE_BIN"] {
        from(&[(name, "x")], Vec::new()).unwrap();
    }
}

#[test]
fn environment_errors_name_the_variable() {
    for (name, value, expected) in [
        (
            "STORE_NETWORK_NMAE",
            "x",
            "environment variable `STORE_NETWORK_NMAE` is no setting; did you mean `STORE_NETWORK_NAME`?",
        ),
        (
            "STORE_NETWORK_FRONT",
            "x",
            "environment variable `STORE_NETWORK_FRONT` is no setting",
        ),
        (
            "STORE_PTAH",
            "x",
            "environment variable `STORE_PTAH` is no setting; did you mean `STORE_PATH`?",
        ),
        (
            "STORE_NETWORK_MDNS",
            "maybe",
            "environment variable `STORE_NETWORK_MDNS`: `maybe` is neither `true` nor `false`",
        ),
        (
            "STORE_NETWORK_MAX_CONNECTIONS",
            "many",
            "environment variable `STORE_NETWORK_MAX_CONNECTIONS`: `many` is no number; expected one such as `64`",
        ),
        (
            "STORE_LOG",
            "loud",
            "environment variable `STORE_LOG`: `loud` is no level; expected `error`, `warn`, `info`, \
             `debug`, `trace`, or directives such as `info,store_node=debug`",
        ),
        (
            "STORE_NETWORK_NAME",
            "a/b",
            "environment variable `STORE_NETWORK_NAME`: network name `a/b` is not 1 to 64 lower-case \
             letters, digits, `-`, `_` or `.`, beginning with a letter or digit",
        ),
    ] {
        assert_eq!(from(&[(name, value)], Vec::new()).unwrap_err(), expected);
    }
}

#[test]
fn flag_errors_name_the_flag() {
    let flag = Flag {
        name: "--listen",
        key: "network.listen",
        values: vec!["nowhere".into()],
    };
    let error = from(&[], vec![flag]).unwrap_err();
    assert!(
        error.starts_with("flag `--listen`: `nowhere` is no address; "),
        "{error}"
    );
}

#[test]
fn a_named_file_must_be_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("none.toml");
    let sources = Sources {
        file: Some(path.clone()),
        ..Sources::default()
    };
    let error = Loaded::load(&sources).unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("cannot read config file `{}`: ", path.display())),
        "{error}"
    );
    let sources = Sources {
        repo: Some(dir.path().into()),
        ..Sources::default()
    };
    assert_eq!(Loaded::load(&sources).unwrap().config, Config::default());
}
