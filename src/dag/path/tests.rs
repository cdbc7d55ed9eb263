use proptest::prelude::*;

use super::*;

const CID: &str = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";

fn path(text: &str) -> Vec<String> {
    let target: Target = text.parse().unwrap();
    assert_eq!(target.cid.to_string(), CID);
    target.path.iter().map(ToString::to_string).collect()
}

#[test]
fn reads_what_people_write() {
    let none: [&str; 0] = [];
    assert_eq!(path(CID), none);
    assert_eq!(path(&format!("{CID}/")), none);
    assert_eq!(path(&format!("{CID}/a/b c")), ["a", "b c"]);
    assert_eq!(path(&format!("/ipfs/{CID}//a///b/")), ["a", "b"]);
    assert_eq!(path(&format!("ipfs://{CID}/a")), ["a"]);
}

#[test]
fn escapes_are_for_uris_only() {
    assert_eq!(path(&format!("{CID}/100%25")), ["100%25"]);
    assert_eq!(path(&format!("ipfs://{CID}/100%25/%C3%bc")), ["100%", "ü"]);
    for bad in ["%", "a%2", "%zz", "%%", "%+1"] {
        let error = format!("ipfs://{CID}/{bad}").parse::<Target>().unwrap_err();
        assert_eq!(
            error,
            TargetError::Escape {
                segment: bad.into()
            }
        );
    }
}

#[test]
fn dots_lead_nowhere() {
    for bad in ["a/../b", ".", "..", "a/."] {
        let error = format!("{CID}/{bad}").parse::<Target>().unwrap_err();
        assert!(matches!(error, TargetError::Dots { .. }), "{bad}");
    }
    let error = format!("ipfs://{CID}/%2e%2E")
        .parse::<Target>()
        .unwrap_err();
    assert!(matches!(error, TargetError::Dots { .. }));
    assert_eq!(path(&format!("{CID}/...")), ["..."]);
}

#[test]
fn what_has_no_cid_is_refused() {
    for bad in [
        "",
        "/",
        "a/b",
        "/ipfs/",
        "ipfs://",
        "ipfs://ipfs://",
        "/ipns/x",
    ] {
        assert!(
            matches!(bad.parse::<Target>(), Err(TargetError::Cid(_))),
            "{bad}"
        );
    }
}

proptest! {
    #[test]
    fn random_text_never_panics(text: String) {
        let _ = text.parse::<Target>();
        let _ = format!("ipfs://{CID}/{text}").parse::<Target>();
    }

    #[test]
    fn what_is_shown_is_read_again(names in prop::collection::vec("[^/\\p{C}]{1,9}", 0..4)) {
        prop_assume!(names.iter().all(|name| name != "." && name != ".."));
        let path = names.iter().map(|name| name.as_str().into()).collect();
        let target = Target { cid: cid::parse(CID).unwrap(), path };
        prop_assert_eq!(target.to_string().parse(), Ok(target));
    }
}
