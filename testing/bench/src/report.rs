//! The report: a table for people, JSON for programs.

use std::path::Path;
use std::{fs, io};

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{ContentArrangement, Table};
use serde::Serialize;

use crate::figure::{self, Figure, Sample, Unit};
use crate::machine::{Machine, Sources};

/// Everything that one run found.
#[derive(Debug, Serialize)]
pub struct Report {
    pub sources: Sources,
    pub machine: Machine,
    pub rounds: usize,
    pub benches: Vec<Chapter>,
}

/// What one bench found.
#[derive(Debug, Serialize)]
pub struct Chapter {
    pub bench: &'static str,
    pub figures: Vec<Figure>,
    /// Why it could not be measured to the end.
    pub error: Option<String>,
}

impl Report {
    /// Writes the JSON, with its folder if need be.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        fs::write(path, text)
    }

    /// The table, with a line about the machine above it and what must be known below.
    pub fn show(&self) -> String {
        let mut table = Table::new();
        table
            .load_style(UTF8_FULL_CONDENSED)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_header(HEADER);
        self.benches.iter().flat_map(Chapter::rows).for_each(|row| {
            table.add_row(row);
        });
        let notes: String = self.notes().map(|note| format!("  {note}\n")).collect();
        format!("{}\n{}\n{table}\n{notes}", self.machine.show(), self.about())
    }

    /// Writes the table as Markdown, for people to keep; in place of what the file held.
    pub fn write_markdown(&self, path: &Path) -> io::Result<()> {
        let names: Vec<_> = self.benches.iter().map(|it| it.bench).collect();
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let cell = |text: String| text.replace('|', "\\|").replace('\n', "<br>");
        let mut table = line(&HEADER.map(str::to_owned));
        table.push_str(&line(&HEADER.map(|_| "---".to_owned())));
        for row in self.benches.iter().flat_map(Chapter::rows) {
            table.push_str(&line(&row.map(cell)));
        }
        let notes: String = self.notes().map(|note| format!("- {note}\n")).collect();
        let names = names.join(" ");
        let arguments = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
        let (machine, about) = (self.machine.show(), self.about());
        let text = format!(
            "# {names}\n\nMade by `cargo xtask bench {arguments}`.\n\n{machine}\n\n{about}\n\n{table}\n{notes}"
        );
        fs::write(path, text.trim_end().to_owned() + "\n")
    }

    fn about(&self) -> String {
        let Sources { commit, changed, optimised, at } = &self.sources;
        let commit = commit.as_deref().unwrap_or("unknown");
        let changed = if *changed { ", with changes" } else { "" };
        let slow = if *optimised { "" } else { "; NOT OPTIMISED: build with --release" };
        let rounds = self.rounds;
        format!("commit {commit}{changed}, {at}; medians of {rounds} rounds, (least–most){slow}")
    }

    /// What must be known to take the figures for what they are.
    fn notes(&self) -> impl Iterator<Item = String> {
        let figures = self.benches.iter().flat_map(|chapter| &chapter.figures);
        figures.flat_map(|figure| {
            let samples = [&figure.abide].into_iter().chain(&figure.references);
            samples.filter_map(|sample| {
                let note = sample.note.as_ref()?;
                Some(format!("{}, {}: {note}", figure.what, sample.of))
            })
        })
    }
}

impl Chapter {
    fn rows(&self) -> impl Iterator<Item = [String; 6]> {
        let error = self.error.as_ref().map(|error| {
            [self.bench, "could not be measured", "", error, "", ""].map(str::to_owned)
        });
        self.figures.iter().map(|figure| row(self.bench, figure)).chain(error)
    }
}

impl Machine {
    fn show(&self) -> String {
        let Self { cpu, cores, memory_mib, kernel, system, disk, load_before } = self;
        format!(
            "{cpu}, {cores} cores, {memory_mib} MiB, {disk}, {system}, Linux {kernel}, \
             load {load_before} beforehand"
        )
    }
}

const HEADER: [&str; 6] = ["Bench", "Figure", "Abide", "Reference", "Goal", ""];

fn row(bench: &str, figure: &Figure) -> [String; 6] {
    let references: Vec<_> =
        figure.references.iter().map(|it| format!("{} {}", it.of, show(it, figure.unit))).collect();
    [
        bench.to_owned(),
        figure.what.clone(),
        show(&figure.abide, figure.unit),
        references.join("\n"),
        figure.goal.as_ref().map(|it| it.show(figure.unit)).unwrap_or_default(),
        figure.verdict.to_string(),
    ]
}

fn show(sample: &Sample, unit: Unit) -> String {
    let bounds = sample.rounds.iter().copied().reduce(f64::min);
    let bounds = bounds.zip(sample.rounds.iter().copied().reduce(f64::max));
    match (sample.median, bounds) {
        (None, _) => "not measured".to_owned(),
        (Some(median), Some((least, most))) if sample.rounds.len() > 1 => {
            format!("{} ({}–{})", unit.show(median), figure::digits(least), figure::digits(most))
        }
        (Some(median), _) => unit.show(median),
    }
}
