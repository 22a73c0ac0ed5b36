//! The ratios of the rates as bars.

use std::error::Error;

use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use tidegate_measure::engine::Engine;
use tidegate_measure::report::short;

use super::report::{Report, others};
use super::rows::{OURS, Row, label};

// The picture has a ground of its own, so that it is readable on a page of any colour.
const GROUND: RGBColor = RGBColor(255, 255, 255);
const INK: RGBColor = RGBColor(36, 41, 47);
const FAINT_INK: RGBColor = RGBColor(101, 109, 118);
const GRID: RGBColor = RGBColor(225, 228, 232);
const TO_TOKIO: RGBColor = RGBColor(9, 105, 218);
const TO_THREADS: RGBColor = RGBColor(219, 109, 40);

const WIDTH: u32 = 960;
const NAMES_WIDTH: u32 = 400;
const HEAD_HEIGHT: u32 = 84;
const ROW_HEIGHT: u32 = 44;
const FOOT_HEIGHT: u32 = 64;
/// Of a row's height.
const BAR: f64 = 0.36;
/// The axis shows at least this; ratios outside of it widen it.
const LEAST: f64 = 0.25;
const MOST: f64 = 10.0;
/// Room for the number beside the longest bar, as a part of the axis.
const NUMBER_ROOM: f64 = 0.14;

type Fallible<T = ()> = Result<T, Box<dyn Error>>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<LogCoord<f64>, RangedCoordf64>>;
type Area<'b> = DrawingArea<SVGBackend<'b>, plotters::coord::Shift>;

/// One bar for each row and engine that the library is measured against, on a logarithmic scale, from 1.
pub(super) fn svg(report: &Report) -> Fallible<String> {
    let mut text = String::new();
    let height = HEAD_HEIGHT + report.rows.len() as u32 * ROW_HEIGHT + FOOT_HEIGHT;
    {
        let area = SVGBackend::with_string(&mut text, (WIDTH, height)).into_drawing_area();
        area.fill(&GROUND)?;
        head(&area)?;
        foot(&area, report, height as i32)?;
        let mut chart = ChartBuilder::on(&area)
            .margin_top(HEAD_HEIGHT)
            .margin_bottom(FOOT_HEIGHT - 30)
            .margin_left(NAMES_WIDTH)
            .margin_right(28)
            .x_label_area_size(30)
            .build_cartesian_2d(bounds(report).log_scale(), report.rows.len() as f64..0.0)?;
        axis(&mut chart)?;
        for (index, row) in report.rows.iter().enumerate() {
            bars(&mut chart, index as f64, row)?;
            name(&area, index as i32, row)?;
        }
        one(&area, &mut chart, report.rows.len() as f64)?;
        area.present()?;
    }
    Ok(text)
}

fn whom(other: Engine) -> &'static str {
    match other {
        Engine::Threads => "a thread per task",
        _ => label(other),
    }
}

fn colour(other: Engine) -> RGBColor {
    match other {
        Engine::TokioFs => TO_TOKIO,
        _ => TO_THREADS,
    }
}

fn text(size: u32, colour: RGBColor, h: HPos, v: VPos) -> TextStyle<'static> {
    ("sans-serif", size)
        .into_font()
        .color(&colour)
        .pos(Pos::new(h, v))
}

/// What the axis shows.
fn bounds(report: &Report) -> std::ops::Range<f64> {
    let ratios = report
        .rows
        .iter()
        .flat_map(|row| others().filter_map(|other| row.ratio(other, |sample| sample.rate)));
    let (least, most) = ratios
        .filter(|ratio| ratio.is_finite() && *ratio > 0.0)
        .fold((LEAST, MOST), |(least, most), ratio| {
            (ratio.min(least), ratio.max(most))
        });
    let room = (most / least).powf(NUMBER_ROOM);
    least / room..most * room
}

fn head(area: &Area<'_>) -> Fallible {
    let title = "How many times as fast tidegate is";
    area.draw_text(title, &text(24, INK, HPos::Left, VPos::Top), (16, 14))?;
    let mut left = NAMES_WIDTH as i32;
    for other in others() {
        let square = [(left, 19), (left + 14, 33)];
        area.draw(&Rectangle::new(square, colour(other).filled()))?;
        let words = format!("as {}", whom(other));
        let style = text(16, INK, HPos::Left, VPos::Center);
        area.draw_text(&words, &style, (left + 22, 26))?;
        left += 130;
    }
    let style = text(14, FAINT_INK, HPos::Right, VPos::Center);
    Ok(area.draw_text("tidegate's rate", &style, (NAMES_WIDTH as i32 - 16, 61))?)
}

/// On what it was measured.
fn foot(area: &Area<'_>, report: &Report, height: i32) -> Fallible {
    let of = |name| report.header.entry(name);
    let words = format!(
        "tidegate {}, {}, kernel {}, {}; medians of {} rounds",
        of("tidegate"),
        of("processors"),
        of("kernel"),
        of("filesystem"),
        report.settings.rounds
    );
    let style = text(14, FAINT_INK, HPos::Left, VPos::Bottom);
    Ok(area.draw_text(&words, &style, (16, height - 10))?)
}

fn axis(chart: &mut Chart<'_, '_>) -> Fallible {
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(GRID)
        .x_labels(8)
        .x_label_formatter(&|ratio| format!("{ratio}×"))
        .x_label_style(text(14, FAINT_INK, HPos::Center, VPos::Top))
        .draw()?;
    Ok(())
}

/// The line on which both are as fast, and what its sides mean.
fn one(area: &Area<'_>, chart: &mut Chart<'_, '_>, rows: f64) -> Fallible {
    let (x, _) = chart.backend_coord(&(1.0, 0.0));
    for (words, h, gap) in [
        ("slower", HPos::Right, -8),
        ("faster (the scale is logarithmic)", HPos::Left, 8),
    ] {
        let style = text(14, FAINT_INK, h, VPos::Center);
        area.draw_text(words, &style, (x + gap, 61))?;
    }
    let line = PathElement::new([(1.0, 0.0), (1.0, rows)], INK);
    chart.draw_series([line])?;
    Ok(())
}

fn bars(chart: &mut Chart<'_, '_>, top: f64, row: &Row) -> Fallible {
    for (place, other) in others().enumerate() {
        let begin = top + 0.5 - BAR + place as f64 * BAR;
        let (from, to) = (begin + 0.02, begin + BAR - 0.02);
        let ratio = row.ratio(other, |sample| sample.rate);
        let ratio = ratio.filter(|ratio| ratio.is_finite() && *ratio > 0.0);
        let (end, words, ink) = match ratio {
            Some(ratio) => (ratio, format!("{}×", short(ratio)), INK),
            None => (1.0, "no figure".to_owned(), FAINT_INK),
        };
        let bar = Rectangle::new([(1.0, from), (end, to)], colour(other).filled());
        chart.draw_series([bar])?;
        let (h, gap) = if end < 1.0 {
            (HPos::Right, -6)
        } else {
            (HPos::Left, 6)
        };
        let style = text(14, ink, h, VPos::Center);
        let number = EmptyElement::at((end, (from + to) / 2.0)) + Text::new(words, (gap, 0), style);
        chart.draw_series([number])?;
    }
    Ok(())
}

/// The row's name, what it is, and how fast the library was.
fn name(area: &Area<'_>, index: i32, row: &Row) -> Fallible {
    let workload = &row.results.workload;
    let middle = HEAD_HEIGHT as i32 + index * ROW_HEIGHT as i32 + ROW_HEIGHT as i32 / 2;
    let style = text(16, INK, HPos::Left, VPos::Bottom);
    area.draw_text(workload.name, &style, (16, middle - 1))?;
    let ours = row.results.of(OURS);
    if let Some(rate) = ours.and_then(|rounds| rounds.median(|sample| sample.rate)) {
        let unit = workload.unit();
        let style = text(16, INK, HPos::Right, VPos::Bottom);
        let place = (NAMES_WIDTH as i32 - 16, middle - 1);
        area.draw_text(&format!("{} {unit}/s", short(rate)), &style, place)?;
    }
    let style = text(13, FAINT_INK, HPos::Left, VPos::Top);
    Ok(area.draw_text(row.family.what, &style, (16, middle + 3))?)
}
