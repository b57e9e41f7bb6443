//! The HTML page, opened in headless Chromium at the width of a phone and of a desk. Without Chromium the test says that it
//! is skipped.
#![allow(clippy::unwrap_used, clippy::print_stderr)] // a panic in a test's helper is a failed test

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cli::report::ReportFile;

#[path = "sample/mod.rs"]
mod sample;

fn chromium() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome", "chrome"];
    std::env::split_paths(&path).flat_map(|dir| names.map(|name| dir.join(name))).find(|file| file.is_file())
}

/// Opens `page` in a window of this width; returns what the checks wrote and what the console said.
fn open(browser: &Path, dir: &Path, page: &Path, width: u32, dark: bool) -> (String, String) {
    let profile = dir.join(format!("profile-{width}-{dark}"));
    let mut command = Command::new(browser);
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
    ]);
    command.args(["--enable-logging=stderr", "--log-level=0", "--virtual-time-budget=5000", "--dump-dom"]);
    // Whatever the page might ask for, it does not get.
    command.arg("--host-resolver-rules=MAP * ~NOTFOUND");
    if dark {
        command.arg("--blink-settings=preferredColorScheme=0");
    }
    command.arg(format!("--user-data-dir={}", profile.display()));
    // Headless windows are at least 500 wide; a phone is a frame inside one.
    command.arg(format!("--window-size={},900", width.max(500)));
    let answer = command.arg(format!("file://{}", page.display())).stdin(Stdio::null()).output().unwrap();
    let dom = String::from_utf8_lossy(&answer.stdout).into_owned();
    let said = String::from_utf8_lossy(&answer.stderr);
    let console: Vec<&str> = said.lines().filter(|line| line.contains("CONSOLE")).collect();
    (dom, console.join("\n"))
}

/// The text of `<pre id="verdict">`, wherever it is in `dom`.
fn verdict(dom: &str) -> Vec<String> {
    let start =
        dom.rfind("id=\"verdict\">").unwrap_or_else(|| panic!("the checks did not run:\n{dom:.2000}"));
    let text = &dom[start + "id=\"verdict\">".len()..];
    let text = &text[..text.find("</pre>").unwrap()];
    text.lines().map(str::to_owned).collect()
}

fn check(page: &str, sizes: &[(u32, bool)]) {
    let Some(browser) = chromium() else {
        eprintln!("SKIPPED: no chromium in PATH, the HTML report was not opened in a browser");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    // The page forbids scripts, so the checks get a copy that allows them.
    let script = format!("<script>\n{}</script>\n</body>", include_str!("browser/check.js"));
    let policy =
        page.find("<meta http-equiv=\"Content-Security-Policy\"").expect("the page forbids requests");
    let end = policy + page[policy..].find('>').unwrap() + 1;
    let copy = format!("{}{}", &page[..policy], &page[end..]).replace("</body>", &script);
    for (width, dark) in sizes.iter().copied() {
        let file = dir.path().join(format!("copy-{width}.html"));
        std::fs::write(&file, &copy).unwrap();
        let opened = if width < 500 {
            let frame = dir.path().join("phone.html");
            let inside = copy.replace('&', "&amp;").replace('"', "&quot;");
            // The frame's document hands its verdict out.
            let html = format!(
                "<!doctype html><title>phone</title><link rel=icon href=data:,><iframe id=f width={width} height=640 style='border:0' srcdoc=\"{inside}\"></iframe>\
                 <script>const f = document.getElementById('f'); const out = () => {{ const v = f.contentDocument.getElementById('verdict'); \
                 if (v && !document.getElementById('verdict')) document.body.append(document.importNode(v, true)); }}; f.onload = out; setTimeout(out, 1000);</script>"
            );
            std::fs::write(&frame, html).unwrap();
            frame
        } else {
            file
        };
        let (dom, console) = open(&browser, dir.path(), &opened, width, dark);
        let said = verdict(&dom);
        assert!(said[0].starts_with(&format!("{width} wide")), "{said:?}");
        assert_eq!(said[1..], Vec::<String>::new(), "at a width of {width}");
        assert_eq!(console, "", "at a width of {width}");
    }
    // The page itself, as it is, has nothing to say to the console either.
    let original = dir.path().join("original.html");
    std::fs::write(&original, page).unwrap();
    let (dom, console) = open(&browser, dir.path(), &original, 1280, false);
    assert!(dom.contains("<main>"));
    assert_eq!(console, "");
}

#[test]
fn the_page_of_a_deploy_is_readable_on_phone_and_desk_and_asks_for_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("report.html");
    let file: ReportFile = path.to_str().unwrap().parse().unwrap();
    file.write(&sample::report()).unwrap();
    check(&std::fs::read_to_string(path).unwrap(), &[(360, false), (1280, false), (1280, true)]);
}

#[test]
fn the_page_of_what_runs_where_is_readable_too() {
    // The style is that of the other page: what can differ is what is on it.
    check(&cli::report::page(&sample::status().page()), &[(360, false)]);
}

#[test]
fn the_checks_see_what_is_wrong() {
    let Some(browser) = chromium() else { return };
    let dir = tempfile::tempdir().unwrap();
    let page = dir.path().join("bad.html");
    let script = include_str!("browser/check.js");
    let bad = "<h1>x</h1><h3 style='color:#999;background:#fff'>y</h3><table><tr><th>a</table><div style='width:3000px'>w</div>";
    std::fs::write(&page, format!("<!doctype html><body>{bad}<script>{script}</script></body>")).unwrap();
    let (dom, _) = open(&browser, dir.path(), &page, 1280, false);
    let said = verdict(&dom).join("\n");
    for expected in [
        "no language",
        "no title",
        "no viewport",
        "skips a level",
        "without caption",
        "without scope",
        "wider than",
        "contrast of 2.8",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
}

#[test]
fn names_and_messages_of_others_are_text_and_never_markup() {
    let mut report = sample::report();
    report.clusters[0].name = "a\"><script>alert(1)</script>".to_owned();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("report.html");
    path.to_str().unwrap().parse::<ReportFile>().unwrap().write(&report).unwrap();
    let html = std::fs::read_to_string(path).unwrap();
    assert!(!html.contains("<script"), "{html}");
    assert!(html.contains("a&quot;&gt;&lt;script&gt;alert(1)"));
}
