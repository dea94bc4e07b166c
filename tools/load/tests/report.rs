//! Reports in a real browser: `corral-load report` draws documents, a headless Chromium that is kept off the network
//! opens them, and the page is looked at as a reader would see it. Pictures are left in `target/tmp/report`.
//!
//! Needs what `tools/browser install` installs.

#[path = "browser/mod.rs"]
mod browser;
#[path = "browser/document.rs"]
mod document;

use browser::Browser;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

const WIDE: u32 = 1280;
const NARROW: u32 = 390;
/// What the page is asked; it finds what is broken in the light and in the dark.
const LOOK: &str = include_str!("browser/look.js");

fn directory() -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("report");
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

/// Writes the document, has the load tool draw it, and returns the page's path.
fn draw(name: &str, document: &Value) -> PathBuf {
    let [json, html] = ["json", "html"].map(|extension| directory().join(format!("{name}.{extension}")));
    std::fs::write(&json, document.to_string()).unwrap();
    let _ = std::fs::remove_file(&html);
    let tool = Command::new(env!("CARGO_BIN_EXE_corral-load"))
        .arg("report")
        .arg(&json)
        .arg("--html")
        .arg(&html)
        .output()
        .expect("the load tool runs");
    assert!(tool.status.success(), "{}", String::from_utf8_lossy(&tool.stderr));
    html
}

/// Looks at the page in both schemes, wide and narrow, and returns what was seen last. Whatever is wrong with any page
/// is wrong here.
fn look(browser: &Browser, name: &str, document: &Value) -> Value {
    let page = draw(name, document);
    let mut seen = Value::Null;
    for (scheme, width) in [("light", NARROW), ("dark", WIDE), ("light", WIDE)] {
        browser.prefer(scheme);
        browser.open(&page, width, 900);
        seen = browser.ask(LOOK, &[]);
        let which = format!("{name}, {scheme}, {width} pixels wide");
        assert_eq!(seen["broken"], json!([]), "{which}");
        assert!(seen["overflow"].as_i64().unwrap() <= 0, "{which}: the page is {} too wide", seen["overflow"]);
        browser.picture(&directory().join(format!("{name}-{scheme}-{width}.png")));
    }
    assert_eq!(seen["title"], document["title"]);
    assert_eq!(seen["heading"], document["title"]);
    assert_eq!((&seen["scripts"], &seen["owned"]), (&json!(0), &Value::Null), "a report has no script and no picture");
    let well_formed = "return new DOMParser().parseFromString(arguments[0], 'application/xhtml+xml')\
                       .querySelector('parsererror')?.textContent ?? null";
    let text = std::fs::read_to_string(&page).unwrap();
    assert_eq!(browser.ask(well_formed, &[json!(text)]), Value::Null, "{name} is well-formed");
    assert_eq!(browser.console(), [""; 0], "{name}: the console says nothing");
    let elsewhere: Vec<String> = browser
        .requests()
        .into_iter()
        .filter(|address| *address != format!("file://{}", page.display()) && address != "data:,")
        .collect();
    assert_eq!(elsewhere, [""; 0], "{name} asks for nothing but itself");
    seen
}

fn number(seen: &Value, what: &str) -> u64 {
    seen[what].as_u64().unwrap_or_else(|| panic!("no {what} in {seen:#}"))
}

#[test]
fn reports_are_whole_in_a_browser_without_a_network() {
    let browser = Browser::start();

    let seen = look(&browser, "comparison", &document::comparison());
    assert_eq!(seen["verdicts"], json!(["same", "better", "better", "better", "same", "better", "worse"]));
    assert_eq!(number(&seen, "intervals"), 7);
    // Four runs together, and the two operations of each.
    assert_eq!((number(&seen, "corrected"), number(&seen, "uncorrected")), (12, 12));
    assert_eq!((number(&seen, "timelines"), number(&seen, "throughput"), number(&seen, "p99")), (4, 4, 4));
    assert_eq!((number(&seen, "cpu"), number(&seen, "memory")), (4, 4));
    assert_eq!(number(&seen, "courses"), 12, "three values that changed in four runs");
    assert_eq!((number(&seen, "gaps"), number(&seen, "findings")), (0, 0), "all is well");

    let seen = look(&browser, "sweep", &document::sweep());
    assert_eq!(number(&seen, "steps"), 20, "four percentiles at five rates");
    assert_eq!(number(&seen, "findings"), 1, "the last step does not keep up");

    let seen = look(&browser, "outage", &document::outage());
    assert_eq!((number(&seen, "gaps"), number(&seen, "pointers")), (1, 100));
    assert_eq!(number(&seen, "findings"), 4, "nothing answered, errors, not kept up, waited");

    let seen = look(&browser, "hostile", &document::hostile());
    assert_eq!(number(&seen, "corrected"), 12);
}

/// What the test above rests on: this browser does tell of scripts, of errors and of requests, and what is asked for
/// on the loopback address does not get there.
#[test]
fn the_browser_tells_what_a_page_does() {
    let browser = Browser::start();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = format!("http://{}/picture.png", listener.local_addr().unwrap());
    let page = directory().join("not-a-report.html");
    let text = format!(
        "<!DOCTYPE html><meta charset='utf-8'><title>t</title><h1>t</h1><script>console.error('heard')</script>\
         <img src='{address}'><svg viewBox='0 0 10 10'><path class='line' d='M0 0L99 99'/></svg>"
    );
    std::fs::write(&page, text).unwrap();
    browser.open(&page, WIDE, 900);
    let seen = browser.ask(LOOK, &[]);
    assert_eq!(seen["scripts"], 2);
    assert_eq!(seen["broken"].as_array().map(Vec::len), Some(2), "beyond the edge, and without a stroke: {seen}");
    assert!(browser.console().iter().any(|line| line.contains("heard")));
    assert!(browser.requests().contains(&address));
    assert!(listener.accept().is_err(), "nothing of it came through");
}
