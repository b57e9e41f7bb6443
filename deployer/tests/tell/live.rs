//! The board on a pseudo-terminal of 80 and of 200 columns, as a terminal shows it in the end.

use std::process::Stdio;

use testkit::built_binary;

use crate::Stage;

/// Runs `deployer` in a terminal of this width; returns each screen that was drawn, as text.
fn screens(stage: &Stage, width: usize) -> Option<Vec<String>> {
    let available = std::process::Command::new("script").arg("--version").stdout(Stdio::null()).status();
    if !available.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: no `script` in PATH, the live view was not tried on a pseudo-terminal");
        return None;
    }
    let command = format!(
        "stty cols {width} rows 24; {} --configs {} --manifests-dir {} --progress auto 1>/dev/null",
        built_binary("deployer").display(),
        stage.clusters.configs().display(),
        stage.sandbox.join("manifests").display(),
    );
    let mut script = stage.sandbox.command("script");
    script.env("TERM", "xterm-256color").env("NO_COLOR", "1");
    let answer = script.args(["-qfec", &command, "/dev/null"]).stdin(Stdio::null()).output().unwrap();
    let mut terminal = Terminal::new(width, 24);
    let mut drawn = Vec::new();
    // A drawing is complete when what is below it has been cleared.
    for part in String::from_utf8_lossy(&answer.stdout).split_inclusive("\u{1b}[J") {
        terminal.write(part);
        drawn.push(terminal.text());
    }
    Some(drawn)
}

/// As much of a terminal as the board needs: lines, carriage return, line feed, cursor up, clear to the end of line and screen.
struct Terminal {
    width: usize,
    lines: Vec<Vec<char>>,
    row: usize,
    column: usize,
}

impl Terminal {
    fn new(width: usize, height: usize) -> Self {
        Self { width, lines: vec![Vec::new(); height], row: 0, column: 0 }
    }

    fn write(&mut self, text: &str) {
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                '\r' => self.column = 0,
                '\n' => self.feed(),
                '\u{1b}' => {
                    assert_eq!(chars.next(), Some('['), "an escape that the board does not use");
                    let mut parameter = String::new();
                    let end = loop {
                        match chars.next().unwrap() {
                            c if c.is_ascii_alphabetic() => break c,
                            c => parameter.push(c),
                        }
                    };
                    self.escape(end, &parameter);
                }
                c => {
                    assert!(self.column < self.width, "a line is wider than the terminal: {text:?}");
                    let line = &mut self.lines[self.row];
                    line.resize(line.len().max(self.column + 1), ' ');
                    line[self.column] = c;
                    self.column += 1;
                }
            }
        }
    }

    fn feed(&mut self) {
        self.column = 0;
        if self.row + 1 == self.lines.len() {
            self.lines.remove(0);
            self.lines.push(Vec::new());
        } else {
            self.row += 1;
        }
    }

    fn escape(&mut self, end: char, parameter: &str) {
        match end {
            'A' => self.row -= parameter.parse::<usize>().unwrap(),
            'K' => self.lines[self.row].truncate(self.column),
            'J' => {
                self.lines[self.row].truncate(self.column);
                self.lines[self.row + 1..].iter_mut().for_each(Vec::clear);
            }
            // The cursor is hidden and shown.
            'h' | 'l' => assert_eq!(parameter, "?25"),
            other => panic!("an escape that the board does not use: {other}"),
        }
    }

    fn text(&self) -> String {
        let lines = self.lines.iter().map(|line| line.iter().collect::<String>().trim_end().to_owned());
        lines.collect::<Vec<_>>().join("\n").trim_end().to_owned()
    }
}

/// What differs from run to run.
fn general(stage: &Stage, screen: &str) -> String {
    // The namespace is another one each time, and is cut where the line ends.
    let lines = screen.lines().map(|line| {
        line.split_once("Deployment/").map_or(line.to_owned(), |(before, after)| {
            let message =
                after.split_once(": ").map(|(_, message)| format!(": {message}")).unwrap_or_default();
            format!("{before}Deployment/…{message}")
        })
    });
    let mut text = lines.collect::<Vec<_>>().join("\n");
    assert!(!text.contains(&stage.namespace), "{text}");
    for digit in '0'..='9' {
        text = text.replace(&format!("  0:0{digit}"), "  0:0N");
        text = text.replace(&format!("  0:1{digit}"), "  0:0N");
    }
    text
}

#[test]
fn the_board_stays_in_place_and_goes_when_all_is_done() {
    let mut stage = Stage::new(&["eu-1", "us-1"]);
    stage.deployment("eu-1", "web", 1, "web-slow:1");
    stage.deployment("us-1", "web", 1, "web:1");
    stage.dead("zz-1");
    for width in [80, 200] {
        let Some(screens) = screens(&stage, width) else { return };
        assert_eq!(screens.last().unwrap(), "", "the board is taken away in the end");
        let waiting = screens.iter().rev().find(|screen| {
            let words = screen.split_whitespace().collect::<Vec<_>>().join(" ");
            ["zz-1 failed", "us-1 done", "eu-1 waiting", "Deployment/"]
                .iter()
                .all(|expected| words.contains(expected))
        });
        let waiting = waiting.unwrap_or_else(|| panic!("{}", screens.join("\n-----\n")));
        insta::assert_snapshot!(format!("board_at_{width}_columns"), general(&stage, waiting));
        // The second run has to wait again.
        stage.deployment("eu-1", "web", 1, "web-slow:2");
    }
}
