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
        let Machine { cpu, cores, memory_mib, kernel, system, load_before } = &self.machine;
        let commit = self.sources.commit.as_deref().unwrap_or("unknown");
        let changed = if self.sources.changed { ", with changes" } else { "" };
        let slow =
            if self.sources.optimised { "" } else { "\nNOT OPTIMISED: build with --release" };
        let mut table = Table::new();
        table
            .load_style(UTF8_FULL_CONDENSED)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_header(["Bench", "Figure", "Abide", "Reference", "Goal", ""]);
        let mut notes = String::new();
        for chapter in &self.benches {
            for figure in &chapter.figures {
                table.add_row(row(chapter.bench, figure));
                for sample in [&figure.abide].into_iter().chain(&figure.references) {
                    if let Some(note) = &sample.note {
                        let line = format!("  {}, {}: {note}\n", figure.what, sample.of);
                        notes.push_str(&line);
                    }
                }
            }
            if let Some(error) = &chapter.error {
                table.add_row([chapter.bench, "could not be measured", "", error, "", ""]);
            }
        }
        format!(
            "{cpu}, {cores} cores, {memory_mib} MiB, {system}, Linux {kernel}, load {load_before}\n\
             commit {commit}{changed}; medians of {} rounds, (least–most){slow}\n{table}\n{notes}",
            self.rounds
        )
    }
}

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
