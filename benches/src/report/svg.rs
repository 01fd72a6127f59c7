//! Plots as inline SVG: lines over a linear or logarithmic axis, and bars. No script, no font, no
//! network.

use std::fmt::Write;

const WIDTH: f64 = 520.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 44.0;

/// One curve.
pub(super) struct Line {
    pub(super) name: String,
    pub(super) color: &'static str,
    pub(super) is_dashed: bool,
    pub(super) points: Vec<(f64, f64)>,
}

/// What a plot is about.
pub(super) struct Axes<'a> {
    pub(super) title: &'a str,
    pub(super) x: &'a str,
    pub(super) y: &'a str,
    pub(super) is_x_log: bool,
    pub(super) is_y_log: bool,
    /// Marks on the x axis, if they are not to be chosen.
    pub(super) x_marks: Vec<(f64, String)>,
}

/// Text that may stand in markup.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// A number on an axis, short.
fn short(value: f64) -> String {
    let (value, suffix) = match value.abs() {
        large if large >= 1e6 => (value / 1e6, "M"),
        large if large >= 1e3 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let text = format!("{value:.2}");
    format!(
        "{}{suffix}",
        text.trim_end_matches('0').trim_end_matches('.')
    )
}

/// One axis: where a value lies, and which values are marked.
struct Scale {
    low: f64,
    high: f64,
    is_log: bool,
    from: f64,
    to: f64,
}

impl Scale {
    fn new(values: &[f64], is_log: bool, from: f64, to: f64) -> Self {
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let (low, high) = if is_log {
            (low, high)
        } else {
            (0.0_f64.min(low), high)
        };
        let high = if high > low { high } else { low + 1.0 };
        Self {
            low,
            high,
            is_log,
            from,
            to,
        }
    }

    fn place(&self, value: f64) -> f64 {
        let share = if self.is_log {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        self.from + share * (self.to - self.from)
    }

    fn marks(&self) -> Vec<f64> {
        if self.is_log {
            let first = self.low.log10().floor();
            let decades = (0..16).map(|n| 10_f64.powf(first + f64::from(n)));
            let inside = |v: &f64| *v >= self.low * 0.999 && *v <= self.high * 1.001;
            return decades
                .flat_map(|d| [d, 2.0 * d, 5.0 * d])
                .filter(inside)
                .collect();
        }
        let raw = (self.high - self.low) / 5.0;
        let power = 10_f64.powf(raw.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .into_iter()
            .map(|f| f * power)
            .find(|s| *s >= raw);
        let step = step.unwrap_or(raw);
        (0..8)
            .map(|n| self.low + f64::from(n) * step)
            .filter(|v| *v <= self.high)
            .collect()
    }
}

fn frame(out: &mut String, axes: &Axes<'_>, x: &Scale, y: &Scale) {
    let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
    let _ = write!(
        out,
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">\
        <text x=\"{LEFT}\" y=\"16\" class=\"t\">{}</text>\
        <text x=\"{right}\" y=\"{}\" text-anchor=\"end\">{}</text>\
        <text x=\"{LEFT}\" y=\"29\">{}</text>",
        escape(axes.title),
        HEIGHT - 8.0,
        escape(axes.x),
        escape(axes.y)
    );
    for value in y.marks() {
        let at = y.place(value);
        let _ = write!(
            out,
            "<path d=\"M{LEFT} {at:.1}H{right}\" class=\"g\"/>\
            <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 5.0,
            at + 4.0,
            short(value)
        );
    }
    let chosen = || x.marks().into_iter().map(|v| (v, short(v))).collect();
    let marks = if axes.x_marks.is_empty() {
        chosen()
    } else {
        axes.x_marks.clone()
    };
    for (value, text) in marks {
        let at = x.place(value);
        let _ = write!(
            out,
            "<path d=\"M{at:.1} {bottom}v4\" class=\"g\"/>\
            <text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            bottom + 16.0,
            escape(&text)
        );
    }
}

/// A plot of curves; empty text if there is nothing to show.
pub(super) fn plot(axes: &Axes<'_>, lines: &[Line]) -> String {
    let is_shown =
        |(px, py): &&(f64, f64)| (!axes.is_x_log || *px > 0.0) && (!axes.is_y_log || *py > 0.0);
    let points: Vec<_> = lines
        .iter()
        .flat_map(|l| &l.points)
        .filter(is_shown)
        .collect();
    if points.is_empty() {
        return String::new();
    }
    let values = |pick: fn(&(f64, f64)) -> f64| points.iter().map(|p| pick(p)).collect::<Vec<_>>();
    let x = Scale::new(&values(|p| p.0), axes.is_x_log, LEFT, WIDTH - RIGHT);
    let y = Scale::new(&values(|p| p.1), axes.is_y_log, HEIGHT - BOTTOM, TOP);
    let mut out = String::new();
    frame(&mut out, axes, &x, &y);
    for line in lines {
        let mut path = String::new();
        for (px, py) in line.points.iter().filter(is_shown) {
            let start = if path.is_empty() { 'M' } else { 'L' };
            let _ = write!(path, "{start}{:.1} {:.1}", x.place(*px), y.place(*py));
        }
        let dash = if line.is_dashed {
            " stroke-dasharray=\"5 3\""
        } else {
            ""
        };
        let _ = write!(
            out,
            "<path d=\"{path}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\"{dash}>\
            <title>{}</title></path>",
            line.color,
            escape(&line.name)
        );
    }
    out.push_str("</svg>");
    out
}
