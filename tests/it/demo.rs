//! The demo is a proof only if it can fail: once as it is shown to people, once with a cure that does nothing.
//! Deliberately nothing of it is rebuilt here: it is the same code that `cargo xtask demo --once` runs.

use crate::support::daemon::binary;
use xtask::demo::{DELIVERY, SESSIONS, Settings, run};
use xtask::estate::{Estate, TEST};

fn settings(observe_only: bool) -> Settings {
    Settings { estate: TEST.to_owned(), once: true, observe_only, program: Some(binary().to_path_buf()) }
}

#[test]
fn a_real_cure_is_proved_from_outside() {
    let settings = settings(false);
    let (_estate, _turn) = Estate::for_test().unwrap();
    assert_eq!(run(&settings).unwrap(), Vec::<&str>::new(), "these parts of the proof are missing");
}

#[test]
fn a_cure_that_does_nothing_proves_nothing() {
    let settings = settings(true);
    let (_estate, _turn) = Estate::for_test().unwrap();
    // The alert came, so what fails is the cure.
    let missing = run(&settings).unwrap();
    assert!(missing.contains(&SESSIONS) && !missing.contains(&DELIVERY), "{missing:?}");
}
