use clap::CommandFactory;

use super::*;

fn parse(line: &str) -> Result<Args, String> {
    let words = std::iter::once("store").chain(line.split_whitespace());
    Args::try_parse_from(words).map_err(|error| error.to_string())
}

fn add(line: &str) -> Add {
    let Command::Add(add) = parse(line).unwrap().command else {
        panic!("not an add")
    };
    add
}

#[test]
fn clap_finds_no_fault() {
    Args::command().debug_assert();
}

#[test]
fn add_takes_what_scripts_pass() {
    let plain = add("add file");
    assert!(plain.empty_dirs && !plain.dereference_symlinks && !plain.wrap && !plain.quiet);
    assert_eq!(plain.shape.profile, "unixfs-v1-2025");
    for line in [
        "add --wrap a b",
        "add --wrap-with-directory a b",
        "add -w a b",
    ] {
        assert!(add(line).wrap, "{line}");
        assert_eq!(add(line).paths.len(), 2, "{line}");
    }
    assert!(!add("add --empty-dirs=false d").empty_dirs);
    assert!(add("add --empty-dirs d").empty_dirs);
    assert!(add("add --dereference-symlinks d").dereference_symlinks);
    assert!(!add("add --dereference-symlinks=false d").dereference_symlinks);
    let all = add("add -q -H -n --chunker size-262144 --profile unixfs-v0-2015 x");
    assert!(all.quiet && all.hidden && all.only_hash);
    assert_eq!(all.shape.chunker.as_deref(), Some("size-262144"));
    assert!(add("add").paths.is_empty());
    assert_eq!(add("add -").paths, [PathBuf::from("-")]);
}

#[test]
fn flags_become_settings() {
    let args = parse("get bafy --listen /a,/b --listen /c --no-mdns --network lab -vv").unwrap();
    let flags: Vec<(&str, Vec<String>)> = args
        .command
        .settings()
        .into_iter()
        .chain(args.global.settings())
        .map(|flag| (flag.key, flag.values))
        .collect();
    let expected: Vec<(&str, Vec<String>)> = vec![
        (
            "network.listen",
            vec!["/a".into(), "/b".into(), "/c".into()],
        ),
        ("network.mdns", vec!["false".into()]),
        ("network.name", vec!["lab".into()]),
        ("log.level", vec!["debug".into()]),
    ];
    assert_eq!(flags, expected);
}

#[test]
fn run_takes_several_addresses_after_one_flag() {
    let line = "run --listen /ip4/127.0.0.1/tcp/1 /ip4/127.0.0.1/tcp/2 --bootstrap /x --metrics :1";
    let Command::Run(run) = parse(line).unwrap().command else {
        panic!("not a run")
    };
    assert_eq!(run.network.listen.len(), 2);
    assert_eq!(run.settings().len(), 3);
    // Elsewhere a value more is the content that is asked for.
    let Command::Get(get) = parse("get --listen /a bafy").unwrap().command else {
        panic!()
    };
    assert_eq!(get.target.as_deref(), Some("bafy"));
}

#[test]
fn global_flags_stand_anywhere() {
    for line in [
        "--repo /r --json ls bafy",
        "ls bafy --repo /r --json",
        "ls --json --repo /r bafy",
    ] {
        let args = parse(line).unwrap();
        assert!(args.global.json, "{line}");
        assert_eq!(
            args.global.repo.as_deref(),
            Some(std::path::Path::new("/r")),
            "{line}"
        );
    }
}

#[test]
fn sizes_and_durations_are_read_as_people_write_them() {
    let Command::Cat(cat) = parse("cat bafy --offset 1MiB --length 10").unwrap().command else {
        panic!("not a cat")
    };
    assert_eq!(
        (cat.offset.0, cat.length.map(|size| size.0)),
        (1 << 20, Some(10))
    );
    let Command::Get(get) = parse("get bafy --timeout 30s").unwrap().command else {
        panic!()
    };
    assert_eq!(
        get.wait.timeout,
        Some(store_config::Duration::from_secs(30))
    );
    assert!(
        parse("get bafy --timeout soon")
            .unwrap_err()
            .contains("expected something like")
    );
    assert!(
        parse("block stat bafy").is_err(),
        "only --local is there yet"
    );
}

#[test]
fn a_proof_is_made_or_verified() {
    let proof = |line: &str| {
        let Command::Proof(proof) = parse(line).unwrap().command else {
            panic!("not a proof")
        };
        proof
    };
    let made = proof("proof bafy --leaf 3 -o file");
    assert!(made.verify.is_none());
    let made = made.make;
    assert_eq!((made.target.as_deref(), made.leaf), (Some("bafy"), Some(3)));
    let verified = proof("proof verify file bafy");
    let Some(ProofVerb::Verify(verify)) = verified.verify else {
        panic!("not verified")
    };
    assert_eq!(verify.cid.as_deref(), Some("bafy"));
    for line in ["proof", "proof bafy", "proof --leaf 3", "proof verify"] {
        assert!(parse(line).is_err(), "{line}");
    }
}

#[test]
fn copies_are_asked_for_with_add_and_pin_set() {
    let copies = add("add f").copies;
    assert!(copies.replicas.is_none() && copies.wait == replication::WaitFor::None);
    let line = "add f --replicas 2/3/5 --where zone=eu --where zone=us --avoid host=old --priority 9 \
                --wait quorum --wait-timeout 5s";
    let copies = add(line).copies;
    assert_eq!(copies.replicas, Some(store_config::Replicas::default()));
    assert_eq!((copies.wanted.len(), copies.avoid.len()), (2, 1));
    assert_eq!(copies.wait, replication::WaitFor::Quorum);
    assert_eq!(copies.wait_timeout, store_config::Duration::from_secs(5));
    let Command::Pin(Pin::Set(set)) = parse("pin set bafy --replicas everywhere").unwrap().command
    else {
        panic!("not a set")
    };
    assert_eq!(
        set.copies.replicas,
        Some(store_config::Replicas::Everywhere)
    );
    for line in [
        "add f --replicas 65",
        "add f --where zone",
        "add f --wait soon",
        "add f --no-pin --replicas 3",
        "add f --only-hash --replicas 3",
        "add f --priority 256",
        "status --local",
        "repair --pause --resume",
        "repair --rate 1MiB --pause",
    ] {
        assert!(parse(line).is_err(), "{line}");
    }
    assert!(parse("add f --no-pin").is_ok() && parse("add f --only-hash").is_ok());
}
