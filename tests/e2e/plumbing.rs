//! Plumbing: single blocks, DAGs, CIDs, and the blocks of a stopped Kubo.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{Place, finish, output, same, write_noise};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_block_goes_in_and_out() {
    let place = Place::new();
    let (file, out) = (place.file("file", 1, 1000), place.path("out"));
    let put = |args: &[&str]| {
        let mut put = place.store("a");
        put.args(["block", "put"]).args(args).arg(&file);
        finish(&mut put)
    };
    let cid = put(&[]).text();
    assert_eq!(
        cid,
        output(place.store("a").args(["add", "--quiet", "-n"]).arg(&file))
    );
    let mut piped = place.store("a");
    piped
        .args(["block", "put"])
        .stdin(File::open(&file).unwrap());
    assert_eq!(output(&mut piped), cid);
    let got = finish(place.store("a").args(["block", "get", &cid]));
    fs::write(&out, got.stdout).unwrap();
    same(&file, &out);
    assert_eq!(output(place.store("a").args(["pin", "ls"])), "");
    put(&["--pin"]);
    assert!(output(place.store("a").args(["pin", "ls"])).starts_with(&cid));

    let refused = put(&["--codec", "dag-pb"]);
    assert_eq!(refused.code(), 5);
    assert!(
        refused.stderr.contains("not valid dag-pb"),
        "{}",
        refused.stderr
    );
    assert_eq!(put(&["--codec", "dag-cbor"]).code(), 2);
    write_noise(&file, 2, (2 << 20) + 1);
    let refused = put(&[]);
    assert_eq!(refused.code(), 2);
    assert!(
        refused.stderr.contains("2097153 bytes"),
        "{}",
        refused.stderr
    );
}

#[test]
fn dags_are_counted_together() {
    let place = Place::new();
    let (one, two) = (place.path("one"), place.path("two"));
    for dir in [&one, &two] {
        fs::create_dir(dir).unwrap();
        write_noise(&dir.join("common"), 1, 3_000_000);
    }
    fs::write(two.join("more"), "more").unwrap();
    let add = |path: &Path| output(place.store("a").args(["add", "--quiet"]).arg(path));
    let (one, two) = (add(&one), add(&two));
    let stat = output(place.store("a").args(["dag", "stat", "--json", &one, &two]));
    let lines: Vec<Value> = stat.lines().map(json).collect();
    assert_eq!(
        (&lines[0]["cid"], &lines[0]["blocks"]),
        (&one.into(), &5.into())
    );
    assert_eq!(lines[1]["blocks"], 6);
    let all = &lines[2];
    assert_eq!(
        (&all["total_blocks"], &all["unique_blocks"]),
        (&11.into(), &7.into())
    );
    assert_eq!(all["shared_blocks"], 4);
    let repo = json(&output(place.store("a").args(["repo", "stat", "--json"])));
    assert_eq!(repo["bytes"], all["unique_bytes"]);

    let node = json(&output(place.store("a").args(["dag", "get", &two])));
    let names: Vec<&str> = node["Links"]
        .as_array()
        .unwrap()
        .iter()
        .map(|link| link["Name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["common", "more"]);
    assert_eq!(node["Data"]["/"]["bytes"], "CAE");
    let leaf = output(
        place
            .store("a")
            .args(["dag", "get", &format!("{two}/more")]),
    );
    assert_eq!(leaf, r#"{"/":{"bytes":"bW9yZQ"}}"#);
}

#[test]
fn cids_are_taken_apart_without_a_repo() {
    let place = Place::new();
    let v0 = "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn";
    let cid = |args: &[&str]| finish(place.store("none").arg("cid").args(args));
    let v1 = cid(&["format", "-v", "1", v0]).text();
    assert_eq!(
        v1,
        "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354"
    );
    assert_eq!(
        cid(&["format", "-f", "%P", &v1]).text(),
        "cidv1-dag-pb-sha2-256-32"
    );
    assert_eq!(cid(&["format", "-v", "0", &v1]).text(), v0);
    let base36 = cid(&["format", "-b", "base36", &v1]).text();
    assert!(base36.starts_with('k'));
    assert_eq!(cid(&["format", "-b", "b", &base36]).text(), v1);
    let inspected = json(&cid(&["inspect", "--json", "bafkqabtimvwgy3yk"]).text());
    assert_eq!(inspected["hash"]["name"], "identity");
    assert_eq!(inspected["content"], "68656c6c6f0a");
    for bad in [
        &["inspect", "hello"][..],
        &["format", "-v", "1", "-b", "base99", v0],
        &["format", "-b", "f", v0],
    ] {
        assert_eq!(cid(bad).code(), 2, "{bad:?}");
    }
    assert!(!place.path("none").exists());
}

/// A Kubo repo with the blocks of a CAR file, laid out as flatfs does.
fn kubo(place: &Place, car: &Path) -> std::path::PathBuf {
    let (repo, car) = (place.path("kubo"), File::open(car).unwrap());
    fs::create_dir_all(repo.join("blocks")).unwrap();
    fs::write(
        repo.join("blocks/SHARDING"),
        "/repo/flatfs/shard/v1/next-to-last/2\n",
    )
    .unwrap();
    File::create(repo.join("repo.lock")).unwrap();
    let mut reader = store::car::Reader::open(car).unwrap();
    while let Some(section) = reader.next().unwrap() {
        let key = data_encoding::BASE32_NOPAD.encode(&section.cid.hash().to_bytes());
        let shard = repo.join("blocks").join(&key[key.len() - 3..key.len() - 1]);
        fs::create_dir_all(&shard).unwrap();
        fs::write(shard.join(format!("{key}.data")), &section.data).unwrap();
    }
    repo
}

#[test]
fn a_stopped_kubo_moves_in() {
    let place = Place::new();
    let tree = place.path("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("hello"), "hello\n").unwrap();
    write_noise(&tree.join("noise"), 7, 3_000_000);
    let cid = output(
        place
            .store("a")
            .args(["add", "--quiet", "--profile", "unixfs-v0-2015"])
            .arg(&tree),
    );
    let car = place.path("tree.car");
    output(
        place
            .store("a")
            .args(["car", "export", &cid, "-o"])
            .arg(&car),
    );
    let repo = kubo(&place, &car);
    let pins = place.path("pins");
    fs::write(&pins, format!("{cid} recursive my tree\n")).unwrap();
    let import = |more: &[&str]| {
        let mut import = place.store("b");
        import.args(["import-kubo", "--json"]).arg(&repo).args(more);
        finish(&mut import)
    };
    let with_pins = ["--pins", pins.to_str().unwrap()];
    let lines: Vec<Value> = import(&with_pins).text().lines().map(json).collect();
    let blocks = lines[0]["blocks"].as_u64().unwrap();
    assert!(blocks > 12, "{lines:?}");
    assert_eq!(
        (&lines[1]["cid"], &lines[1]["pinned"]),
        (&Value::from(&*cid), &true.into())
    );
    assert!(output(place.store("b").args(["pin", "ls"])).contains("my tree"));
    output(
        place
            .store("b")
            .args(["get", &cid, "-o"])
            .arg(place.path("got")),
    );
    same(&tree, &place.path("got"));
    // Again: nothing is copied, nothing is read.
    let again = json(import(&with_pins).text().lines().next().unwrap());
    assert_eq!(
        (&again["blocks"], &again["present"]),
        (&0.into(), &blocks.into())
    );

    // A daemon that runs.
    let lock = repo.join("repo.lock");
    let holds = "import fcntl,sys,time\nf=open(sys.argv[1],'w')\nfcntl.lockf(f,fcntl.LOCK_EX)\nprint('held',flush=True)\nsys.stdin.read()";
    if let Ok(mut holder) = Command::new("python3")
        .args(["-c", holds])
        .arg(&lock)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
    {
        let mut held = String::new();
        let mut stdout = std::io::BufReader::new(holder.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut stdout, &mut held).unwrap();
        assert_eq!(held, "held\n");
        let refused = import(&[]);
        assert_eq!(refused.code(), 1);
        assert!(refused.stderr.contains("in use"), "{}", refused.stderr);
        drop(holder.stdin.take());
        holder.wait().unwrap();
    }
    let none = finish(place.store("b").arg("import-kubo").arg(&tree));
    assert_eq!(none.code(), 2);
    assert!(none.stderr.contains("blocks/SHARDING"), "{}", none.stderr);
}

#[test]
fn a_rotten_block_of_kubo_is_named() {
    let place = Place::new();
    let cid = output(
        place
            .store("a")
            .args(["add", "--quiet"])
            .arg(place.file("file", 8, 3_000_000)),
    );
    let car = place.path("file.car");
    output(
        place
            .store("a")
            .args(["car", "export", &cid, "-o"])
            .arg(&car),
    );
    let repo = kubo(&place, &car);
    // The first large one is a leaf.
    let mut rotten = None;
    for shard in fs::read_dir(repo.join("blocks")).unwrap().flatten() {
        for file in fs::read_dir(shard.path()).into_iter().flatten().flatten() {
            if file.metadata().unwrap().len() == 1 << 20 {
                rotten = Some(file.path());
            }
        }
    }
    let rotten = rotten.unwrap();
    let mut bytes = fs::read(&rotten).unwrap();
    bytes[500] ^= 1;
    fs::write(&rotten, bytes).unwrap();
    let pins = place.path("pins");
    fs::write(&pins, format!("{cid}\n")).unwrap();
    let mut import = place.store("b");
    let found = finish(
        import
            .arg("import-kubo")
            .arg(&repo)
            .arg("--pins")
            .arg(&pins),
    );
    assert_eq!(found.code(), 6);
    let printed = String::from_utf8_lossy(&found.stdout).into_owned();
    assert!(
        printed.contains(rotten.file_name().unwrap().to_str().unwrap()),
        "{printed}"
    );
    assert!(printed.contains("1 left out"), "{printed}");
    assert!(printed.contains(&format!("{cid}  not pinned")), "{printed}");
}

#[test]
fn a_block_is_removed_unless_something_keeps_it() {
    let place = Place::new();
    let file = place.file("file", 1, 3 << 20);
    let root = output(place.store("a").args(["add", "--quiet"]).arg(&file));
    let node = json(&output(place.store("a").args(["dag", "get", &root])));
    let leaf = node["Links"][1]["Hash"]["/"].as_str().unwrap().to_owned();
    let small = place.file("small", 2, 500);
    let mut put = place.store("a");
    let loose = output(put.args(["block", "put"]).arg(&small));
    let rm = |cids: &[&str]| finish(place.store("a").args(["block", "rm"]).args(cids));
    let is_here = |cid: &str| {
        let mut stat = place.store("a");
        finish(stat.args(["block", "stat", "--local", cid])).code() == 0
    };

    // What can go goes, and what keeps the rest is named.
    let kept = rm(&[&leaf, &loose, &root]);
    assert_eq!(kept.code(), 1);
    assert_eq!(String::from_utf8_lossy(&kept.stdout).trim_end(), loose);
    for what in [
        format!("kept: {leaf}  indirect through {root}"),
        format!("kept: {root}  recursive"),
        "2 of 3 blocks are needed here and stay".to_owned(),
    ] {
        assert!(kept.stderr.contains(&what), "{}", kept.stderr);
    }
    assert!(!is_here(&loose) && is_here(&leaf) && is_here(&root));
    assert_eq!(rm(&[&loose]).code(), 3);

    let kept = rm(&[&leaf]);
    let said = format!("`{leaf}` is kept as a part of `{root}`: it stays");
    assert!(
        kept.stderr.contains(&said) && !kept.stderr.contains("kept:"),
        "{}",
        kept.stderr
    );

    output(place.store("a").args(["pin", "rm", &root]));
    assert_eq!(rm(&[&leaf]).text(), leaf);
    assert!(!is_here(&leaf) && is_here(&root));
    assert_eq!(rm(&["not-a-cid"]).code(), 2);
}
